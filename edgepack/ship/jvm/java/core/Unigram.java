package edgepack.module;

import java.util.List;

/** The likeliest split of a piece by its tokens' log probabilities (Kudo 2018); unknown characters side by side are one token. */
final class Unigram implements SubwordModel {
    private static final double PENALTY = 10;

    private final Trie trie = new Trie();
    private final double[] scores;
    private final double unknownScore;
    private final int unknown;
    private final int[] bytes;

    Unigram(Fields model) {
        List<?> entries = model.list("vocab");
        scores = new double[entries.size()];
        double lowest = Double.POSITIVE_INFINITY;
        for (int id = 0; id < scores.length; id++) {
            List<?> entry = (List<?>) entries.get(id);
            scores[id] = ((Number) entry.get(1)).doubleValue();
            lowest = Math.min(lowest, scores[id]);
            trie.add((String) entry.get(0), id);
        }
        unknownScore = lowest - PENALTY;
        unknown = model.whole("unk_id");
        bytes = model.yes("byte_fallback", false) ? byteIds() : null;
    }

    /** Ids of the tokens that stand for single bytes; null where one is missing. */
    private int[] byteIds() {
        int[] result = new int[256];
        for (int value = 0; value < 256; value++) {
            int node = Trie.ROOT;
            for (char character : String.format("<0x%02X>", value).toCharArray()) {
                node = node == Trie.NONE ? node : trie.child(node, character);
            }
            if (node == Trie.NONE || trie.id(node) == Trie.NONE) {
                return null;
            }
            result[value] = trie.id(node);
        }
        return result;
    }

    @Override
    public void tokenize(Normalized piece, Tokens tokens) {
        int size = piece.length;
        double[] best = new double[size + 1];
        int[] starts = new int[size + 1];
        int[] ids = new int[size + 1];
        java.util.Arrays.fill(starts, -1);
        for (int at = 0; at < size; at++) {
            if (!offer(piece, at, best, starts, ids)) {
                offer(at, at + 1, best[at] + unknownScore, unknown, best, starts, ids);
            }
        }
        int[] ends = new int[size];
        int count = 0;
        int end = size;
        while (end > 0) {
            boolean joins = count > 0 && ids[end] == unknown && ids[ends[count - 1]] == unknown;
            if (!joins) {
                ends[count++] = end;
            }
            end = starts[end];
        }
        int start = 0;
        for (int index = count - 1; index >= 0; index--) {
            write(piece, start, ends[index], ids[ends[index]], tokens);
            start = ends[index];
        }
    }

    /** Every token that begins at `at`; whether one of them is the character alone. */
    private boolean offer(Normalized piece, int at, double[] best, int[] starts, int[] ids) {
        boolean single = false;
        int node = Trie.ROOT;
        for (int end = at + 1; end <= piece.length; end++) {
            node = trie.child(node, piece.chars[end - 1]);
            if (node == Trie.NONE) {
                break;
            }
            int id = trie.id(node);
            if (id != Trie.NONE) {
                offer(at, end, scores[id] + best[at], id, best, starts, ids);
                single |= end == at + 1;
            }
        }
        return single;
    }

    private static void offer(int at, int end, double score, int id, double[] best, int[] starts, int[] ids) {
        if (starts[end] < 0 || score > best[end]) {
            best[end] = score;
            starts[end] = at;
            ids[end] = id;
        }
    }

    private void write(Normalized piece, int start, int end, int id, Tokens tokens) {
        if (id != unknown || bytes == null) {
            tokens.add(id, piece, start, end);
            return;
        }
        for (int at = start; at < end; at++) {
            int size = Utf8.length(piece.chars[at]);
            for (int part = 0; part < size; part++) {
                tokens.add(bytes[Utf8.part(piece.chars[at], part, size)], piece, start, end);
            }
        }
    }
}
