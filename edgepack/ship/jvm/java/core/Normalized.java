package edgepack.module;

/**
 * A text on its way through normalizers: its code points now, and for each the span of the original text that it came from.
 *
 * <p>Spans count code points of the original. Never changed once made, so that pieces share one.
 */
final class Normalized {
    final int[] chars;
    final int[] from;
    final int[] to;
    final int length;

    Normalized(int[] chars, int[] from, int[] to, int length) {
        this.chars = chars;
        this.from = from;
        this.to = to;
        this.length = length;
    }

    static Normalized of(int[] chars) {
        int[] from = new int[chars.length];
        int[] to = new int[chars.length];
        for (int index = 0; index < chars.length; index++) {
            from[index] = index;
            to[index] = index + 1;
        }
        return new Normalized(chars, from, to, chars.length);
    }

    Normalized slice(int start, int end) {
        if (start == 0 && end == length) {
            return this;
        }
        int size = end - start;
        int[][] parts = new int[3][size];
        System.arraycopy(chars, start, parts[0], 0, size);
        System.arraycopy(from, start, parts[1], 0, size);
        System.arraycopy(to, start, parts[2], 0, size);
        return new Normalized(parts[0], parts[1], parts[2], size);
    }

    boolean startsWith(int character) {
        return length > 0 && chars[0] == character;
    }

    /** The text with `added` before it, which counts as part of its first character. */
    Normalized prepended(int[] added) {
        if (length == 0) {
            return this;
        }
        Rewrite rewrite = new Rewrite(this, length + added.length);
        for (int character : added) {
            rewrite.put(character, from[0], to[0]);
        }
        rewrite.keep(0, length);
        return rewrite.done();
    }
}
