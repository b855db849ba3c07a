package edgepack.module;

import java.util.List;

/** GPT-2's way: a text is its UTF-8 bytes, each written as a printable character. */
final class ByteLevel {
    static final int BLANK = 0x120; // what the byte of a blank is written as

    private static final String SPLIT = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    private static final int[] WRITTEN = written();
    private static final int[] BYTES = bytes();

    private ByteLevel() {}

    private static int[] written() {
        int[] result = new int[256];
        int more = 0;
        for (int value = 0; value < 256; value++) {
            boolean printable = value >= '!' && value <= '~' || value >= 0xA1 && value <= 0xAC || value >= 0xAE;
            result[value] = printable ? value : 256 + more++;
        }
        return result;
    }

    private static int[] bytes() {
        int[] result = new int[512];
        java.util.Arrays.fill(result, -1);
        for (int value = 0; value < 256; value++) {
            result[WRITTEN[value]] = value;
        }
        return result;
    }

    /** The byte that a character stands for, -1 where it stands for none. */
    static int byteOf(int character) {
        return character < BYTES.length ? BYTES[character] : -1;
    }

    static void add(Fields fields, Characters characters, List<PreTokenizer> steps) {
        boolean prefix = fields.yes("add_prefix_space", true);
        Pattern regex = fields.yes("use_regex", true) ? Regex.compile(SPLIT, characters) : null;
        steps.add((text, parts) -> {
            Normalized now = prefix && !text.startsWith(' ') ? text.prepended(new int[] {' '}) : text;
            if (regex == null) {
                parts.add(now);
            } else {
                PreTokenizer.cut(now, regex.spans(now), parts);
            }
        });
        steps.add((text, parts) -> parts.add(spelled(text)));
    }

    private static Normalized spelled(Normalized text) {
        Rewrite rewrite = new Rewrite(text, text.length + 4);
        for (int index = 0; index < text.length; index++) {
            int character = text.chars[index];
            int size = Utf8.length(character);
            for (int part = 0; part < size; part++) {
                rewrite.replace(index, WRITTEN[Utf8.part(character, part, size)]);
            }
        }
        return rewrite.done();
    }
}
