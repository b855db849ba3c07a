package edgepack.module;

/** Bytes of a code point. */
final class Utf8 {
    private Utf8() {}

    static int length(int character) {
        return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    }

    /** Byte number `part` of `size`. */
    static int part(int character, int part, int size) {
        if (part > 0) {
            return 0x80 | character >> 6 * (size - 1 - part) & 0x3F;
        }
        return size == 1 ? character : size == 2 ? 0xC0 | character >> 6 : size == 3 ? 0xE0 | character >> 12 : 0xF0 | character >> 18;
    }

    /** The code points of a text; IllegalArgumentException where it holds half of a surrogate pair. */
    static int[] codePoints(String text) {
        int[] points = text.codePoints().toArray();
        for (int character : points) {
            if (character >= Character.MIN_SURROGATE && character <= Character.MAX_SURROGATE) {
                throw new IllegalArgumentException("the text holds half of a surrogate pair: it is no Unicode text");
            }
        }
        return points;
    }
}
