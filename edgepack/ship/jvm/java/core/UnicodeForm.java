package edgepack.module;

import java.util.Arrays;

/**
 * Unicode's normalization forms (UAX 15), by tables of the version that Hugging Face's tokenizers has.
 *
 * <p>Each character of the result stands for those that it came from, counted as that library counts them.
 */
final class UnicodeForm implements Normalizer {
    private static final int SYLLABLES = 0xAC00;
    private static final int LEADING = 0x1100;
    private static final int VOWELS = 0x1161;
    private static final int TRAILING = 0x11A7;
    private static final int VOWEL_COUNT = 21;
    private static final int TRAILING_COUNT = 28;
    private static final int SYLLABLE_COUNT = 19 * VOWEL_COUNT * TRAILING_COUNT;

    private final Characters characters;
    private final CharMap pieces;
    private final Compositions compositions;
    private final boolean canonical;

    UnicodeForm(Characters characters, String pieces, boolean composes) {
        this.characters = characters;
        this.pieces = characters.map(pieces);
        this.compositions = composes ? characters.compositions() : null;
        this.canonical = pieces.equals("nfd");
    }

    @Override
    public Normalized apply(Normalized text) {
        if (untouched(text)) {
            return text;
        }
        Parts parts = new Parts(text.length);
        for (int index = 0; index < text.length; index++) {
            decompose(text.chars[index], parts);
        }
        parts.sort(parts.length);
        return (compositions == null ? parts : composed(parts)).written(text);
    }

    private boolean untouched(Normalized text) {
        boolean composesAll = compositions != null && canonical;
        for (int index = 0; index < text.length; index++) {
            int character = text.chars[index];
            if (character >= 0x300 || !composesAll && pieces.get(character) != null) {
                return false;
            }
        }
        return true;
    }

    private void decompose(int character, Parts parts) {
        int syllable = character - SYLLABLES;
        if (syllable >= 0 && syllable < SYLLABLE_COUNT) {
            parts.add(LEADING + syllable / (VOWEL_COUNT * TRAILING_COUNT), 0, 0);
            parts.add(VOWELS + syllable % (VOWEL_COUNT * TRAILING_COUNT) / TRAILING_COUNT, 1, 0);
            if (syllable % TRAILING_COUNT != 0) {
                parts.add(TRAILING + syllable % TRAILING_COUNT, 1, 0);
            }
            return;
        }
        int[] spelling = pieces.get(character);
        if (spelling == null) {
            parts.add(character, 0, characters.order(character));
            return;
        }
        for (int index = 0; index < spelling.length; index++) {
            parts.add(spelling[index], index == 0 ? 0 : 1, characters.order(spelling[index]));
        }
    }

    private Parts composed(Parts parts) {
        Parts done = new Parts(parts.length);
        int starter = -1;
        int lastOrder = -1;
        for (int index = 0; index < parts.length; index++) {
            int order = parts.orders[index];
            boolean blocked = starter < 0 || lastOrder >= 0 && lastOrder >= order;
            int joined = blocked ? -1 : compose(done.chars[starter], parts.chars[index]);
            if (joined >= 0) {
                done.chars[starter] = joined;
                done.changes[starter] += parts.changes[index] - 1;
                continue;
            }
            done.add(parts.chars[index], parts.changes[index], order);
            if (order == 0) {
                starter = done.length - 1;
                lastOrder = -1;
            } else {
                lastOrder = order;
            }
        }
        return done;
    }

    private int compose(int first, int second) {
        int leading = first - LEADING;
        int vowel = second - VOWELS;
        if (leading >= 0 && leading < 19 && vowel >= 0 && vowel < VOWEL_COUNT) {
            return SYLLABLES + (leading * VOWEL_COUNT + vowel) * TRAILING_COUNT;
        }
        int syllable = first - SYLLABLES;
        int trailing = second - TRAILING;
        boolean open = syllable >= 0 && syllable < SYLLABLE_COUNT && syllable % TRAILING_COUNT == 0;
        if (open && trailing > 0 && trailing < TRAILING_COUNT) {
            return first + trailing;
        }
        return compositions.get(first, second);
    }

    /** Characters with what each stands for (as in {@link Rewrite#next}) and the order of marks. */
    private static final class Parts {
        int[] chars;
        int[] changes;
        int[] orders;
        int length;
        private int sorted;

        Parts(int room) {
            chars = new int[room + 8];
            changes = new int[room + 8];
            orders = new int[room + 8];
        }

        void add(int character, int change, int order) {
            if (length == chars.length) {
                chars = Arrays.copyOf(chars, length * 2);
                changes = Arrays.copyOf(changes, length * 2);
                orders = Arrays.copyOf(orders, length * 2);
            }
            if (order == 0) {
                sort(length);
                sorted = length + 1;
            }
            chars[length] = character;
            changes[length] = change;
            orders[length++] = order;
        }

        /** Marks behind the last beginning, by their order; equals stay as they came. */
        void sort(int end) {
            for (int index = sorted + 1; index < end; index++) {
                for (int at = index; at > sorted && orders[at - 1] > orders[at]; at--) {
                    swap(chars, at);
                    swap(changes, at);
                    swap(orders, at);
                }
            }
        }

        private static void swap(int[] values, int at) {
            int value = values[at];
            values[at] = values[at - 1];
            values[at - 1] = value;
        }

        Normalized written(Normalized text) {
            Rewrite rewrite = new Rewrite(text, length);
            for (int index = 0; index < length; index++) {
                rewrite.next(chars[index], changes[index]);
            }
            return rewrite.done();
        }
    }
}
