package edgepack.module;

/** A set of Unicode code points, asked in constant time. */
final class CharClass {
    static final CharClass NONE = new CharClass(new int[0]);

    private static final int PAGE = 8;
    private static final long[] EMPTY = new long[1 << (PAGE - 6)];

    private final long[][] pages = new long[(Character.MAX_CODE_POINT >> PAGE) + 1][];

    /** runs: how many code points are outside, how many inside, how many outside ..., from 0 on. */
    CharClass(int[] runs) {
        java.util.Arrays.fill(pages, EMPTY);
        int at = 0;
        for (int index = 0; index < runs.length; index++) {
            if (runs[index] < 0 || at + runs[index] > Character.MAX_CODE_POINT + 1) {
                throw new PackException("a class of characters beyond Unicode");
            }
            for (int left = index % 2 == 0 ? 0 : runs[index], character = at; left > 0; left--, character++) {
                add(character);
            }
            at += runs[index];
        }
    }

    private void add(int character) {
        int page = character >> PAGE;
        if (pages[page] == EMPTY) {
            pages[page] = new long[EMPTY.length];
        }
        pages[page][(character >> 6) & (EMPTY.length - 1)] |= 1L << (character & 63);
    }

    boolean has(int character) {
        return (pages[character >> PAGE][(character >> 6) & (EMPTY.length - 1)] >>> (character & 63) & 1) != 0;
    }
}
