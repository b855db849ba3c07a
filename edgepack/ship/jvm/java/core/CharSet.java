package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** A character class of a regular expression: named classes and ranges, or all but them. */
final class CharSet {
    private static final int ASCII = 128;

    private final boolean inverted;
    private final boolean bracketed;
    private final List<CharClass> kinds = new ArrayList<>();
    private final List<CharClass> others = new ArrayList<>();
    private final List<int[]> ranges = new ArrayList<>();
    private volatile boolean[] ascii;

    CharSet(boolean inverted) {
        this(inverted, true);
    }

    private CharSet(boolean inverted, boolean bracketed) {
        this.inverted = inverted;
        this.bracketed = bracketed;
    }

    static CharSet single() {
        return new CharSet(false, false);
    }

    boolean bracketed() {
        return bracketed;
    }

    void add(CharClass kind) {
        kinds.add(kind);
    }

    void addOthers(CharClass kind) {
        others.add(kind);
    }

    void add(int first, int last) {
        ranges.add(new int[] {first, last});
    }

    boolean has(int character) {
        if (character >= ASCII) {
            return holds(character);
        }
        boolean[] known = ascii;
        if (known == null) {
            known = new boolean[ASCII];
            for (int code = 0; code < ASCII; code++) {
                known[code] = holds(code);
            }
            ascii = known;
        }
        return known[character];
    }

    private boolean holds(int character) {
        for (CharClass kind : kinds) {
            if (kind.has(character)) {
                return !inverted;
            }
        }
        for (CharClass kind : others) {
            if (!kind.has(character)) {
                return !inverted;
            }
        }
        for (int[] range : ranges) {
            if (character >= range[0] && character <= range[1]) {
                return !inverted;
            }
        }
        return inverted;
    }
}
