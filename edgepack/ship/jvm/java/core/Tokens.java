package edgepack.module;

import java.util.Arrays;

/** Tokens of one text: ids, spans of the original text in code points, and the word that each belongs to. */
final class Tokens {
    int[] ids = new int[32];
    int[] from = new int[32];
    int[] to = new int[32];
    int[] words = new int[32];
    int count;

    void add(int id, int start, int end, int word) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, count * 2);
            from = Arrays.copyOf(from, count * 2);
            to = Arrays.copyOf(to, count * 2);
            words = Arrays.copyOf(words, count * 2);
        }
        ids[count] = id;
        from[count] = start;
        to[count] = end;
        words[count++] = word;
    }

    /** A token of a piece's characters `start` to `end`; its word is set later. */
    void add(int id, Normalized piece, int start, int end) {
        add(id, piece.from[start], piece.to[end - 1], -1);
    }

    Tokens slice(int start, int end) {
        Tokens result = new Tokens();
        result.ids = Arrays.copyOfRange(ids, start, Math.max(end, start + 1));
        result.from = Arrays.copyOfRange(from, start, Math.max(end, start + 1));
        result.to = Arrays.copyOfRange(to, start, Math.max(end, start + 1));
        result.words = Arrays.copyOfRange(words, start, Math.max(end, start + 1));
        result.count = end - start;
        return result;
    }
}
