package edgepack.module;

import java.util.List;

/** Code points that become others. */
final class CharMap {
    private static final int PAGE = 8;

    private final int[][][] pages = new int[(Character.MAX_CODE_POINT >> PAGE) + 1][][];

    /** entries: a code point and what it becomes as text, in turn. */
    CharMap(List<?> entries) {
        for (int index = 0; index + 1 < entries.size(); index += 2) {
            int character = ((Long) entries.get(index)).intValue();
            int page = character >> PAGE;
            if (pages[page] == null) {
                pages[page] = new int[1 << PAGE][];
            }
            pages[page][character & 255] = ((String) entries.get(index + 1)).codePoints().toArray();
        }
    }

    /** What a code point becomes; null where it stays. */
    int[] get(int character) {
        int[][] page = pages[character >> PAGE];
        return page == null ? null : page[character & 255];
    }
}
