package edgepack.module;

/** Where one user-perceived character ends and the next begins (UAX 29, extended grapheme clusters). */
final class Graphemes {
    private static final int JOINER = 0x200D;

    private final CharClass control;
    private final CharClass extend;
    private final CharClass prepend;
    private final CharClass spacing;
    private final CharClass pictographic;
    private final CharClass consonant;
    private final CharClass linker;
    private final CharClass conjunct;

    Graphemes(Characters characters) {
        control = characters.kind("grapheme_control");
        extend = characters.kind("grapheme_extend");
        prepend = characters.kind("grapheme_prepend");
        spacing = characters.kind("grapheme_spacing");
        pictographic = characters.kind("pictographic");
        consonant = characters.kind("conjunct_consonant");
        linker = characters.kind("conjunct_linker");
        conjunct = characters.kind("conjunct_extend");
    }

    /** The end of the cluster that begins at `start`. */
    int end(int[] chars, int start, int length) {
        int at = start + 1;
        while (at < length && joined(chars, start, at)) {
            at++;
        }
        return at;
    }

    private boolean joined(int[] chars, int start, int at) {
        int before = chars[at - 1];
        int after = chars[at];
        if (before < 0x300 && after < 0x300) {
            return before == '\r' && after == '\n';
        }
        if (control.has(before) || control.has(after)) {
            return false;
        }
        if (extend.has(after) || after == JOINER || spacing.has(after) || prepend.has(before)) {
            return true;
        }
        return hangul(before, after)
                || before == JOINER && pictographic.has(after) && emojiBefore(chars, start, at - 1)
                || consonant.has(after) && conjunctBefore(chars, start, at)
                || flag(before) && flag(after) && flagsBefore(chars, start, at) % 2 == 1;
    }

    private boolean emojiBefore(int[] chars, int start, int joiner) {
        int at = joiner - 1;
        while (at > start && extend.has(chars[at])) {
            at--;
        }
        return at >= start && pictographic.has(chars[at]);
    }

    private boolean conjunctBefore(int[] chars, int start, int end) {
        boolean linked = false;
        int at = end - 1;
        while (at > start && (linker.has(chars[at]) || conjunct.has(chars[at]))) {
            linked |= linker.has(chars[at]);
            at--;
        }
        return linked && at >= start && consonant.has(chars[at]);
    }

    private static int flagsBefore(int[] chars, int start, int end) {
        int at = end;
        while (at > start && flag(chars[at - 1])) {
            at--;
        }
        return end - at;
    }

    private static boolean flag(int character) {
        return character >= 0x1F1E6 && character <= 0x1F1FF;
    }

    private static boolean hangul(int before, int after) {
        boolean syllable = before >= 0xAC00 && before <= 0xD7A3;
        boolean open = syllable && (before - 0xAC00) % 28 == 0;
        if (within(before, 0x1100, 0x115F) || within(before, 0xA960, 0xA97C)) {
            boolean leading = within(after, 0x1100, 0x115F) || within(after, 0xA960, 0xA97C);
            return leading || vowel(after) || after >= 0xAC00 && after <= 0xD7A3;
        }
        if (open || vowel(before)) {
            return vowel(after) || trailing(after);
        }
        return (syllable || trailing(before)) && trailing(after);
    }

    private static boolean vowel(int character) {
        return within(character, 0x1160, 0x11A7) || within(character, 0xD7B0, 0xD7C6);
    }

    private static boolean trailing(int character) {
        return within(character, 0x11A8, 0x11FF) || within(character, 0xD7CB, 0xD7FB);
    }

    private static boolean within(int character, int first, int last) {
        return character >= first && character <= last;
    }
}
