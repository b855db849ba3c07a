package edgepack.module;

import java.util.List;

/** Which two tokens of a BPE vocabulary become one, and how early. */
final class Merges {
    private final long[] keys;
    private final int[] ranks;
    private final int[] results;

    Merges(List<?> entries, Vocabulary vocabulary) {
        int room = Integer.highestOneBit(Math.max(8, entries.size() * 2)) * 2;
        keys = new long[room];
        ranks = new int[room];
        results = new int[entries.size()];
        for (int rank = 0; rank < results.length; rank++) {
            String[] pair = pair(entries.get(rank));
            int first = known(vocabulary, pair[0]);
            int second = known(vocabulary, pair[1]);
            results[rank] = known(vocabulary, pair[0] + pair[1]);
            put(key(first, second), rank);
        }
    }

    private static String[] pair(Object entry) {
        String[] tokens = entry instanceof String ? ((String) entry).split(" ", -1) : ((List<?>) entry).toArray(new String[0]);
        if (tokens.length != 2) {
            throw new PackException("tokenizer.json: a merge of other than two tokens: " + entry);
        }
        return tokens;
    }

    private static int known(Vocabulary vocabulary, String token) {
        int id = vocabulary.id(token);
        if (id < 0) {
            throw new PackException("tokenizer.json: a merge with a token that is not in the vocabulary: " + token);
        }
        return id;
    }

    private void put(long key, int rank) {
        int slot = slot(key);
        while (keys[slot] != 0 && keys[slot] != key) {
            slot = slot + 1 & keys.length - 1;
        }
        keys[slot] = key;
        ranks[slot] = rank;
    }

    /** How early two tokens are merged, 0 first; -1 where they are not. */
    int rank(int first, int second) {
        long key = key(first, second);
        for (int slot = slot(key); keys[slot] != 0; slot = slot + 1 & keys.length - 1) {
            if (keys[slot] == key) {
                return ranks[slot];
            }
        }
        return -1;
    }

    /** The token that the merge of a rank makes. */
    int result(int rank) {
        return results[rank];
    }

    private int slot(long key) {
        return (int) (key * 0x9E3779B97F4A7C15L >>> 32) & keys.length - 1;
    }

    private static long key(int first, int second) {
        return (long) (first + 1) << 32 | second;
    }
}
