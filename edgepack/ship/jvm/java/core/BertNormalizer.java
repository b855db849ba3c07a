package edgepack.module;

/** BERT's: cleans, puts blanks around Chinese characters, strips accents, lowercases; each only where tokenizer.json says so. */
final class BertNormalizer implements Normalizer {
    private final CharClass removed;
    private final CharClass blank;
    private final CharClass chinese;
    private final Normalizer decompose;
    private final Normalizer unaccent;
    private final Normalizer lowercase;

    BertNormalizer(Fields fields, Characters characters) {
        boolean lower = fields.yes("lowercase", true);
        boolean clean = fields.yes("clean_text", true);
        boolean strip = fields.yes("strip_accents", lower);
        removed = clean ? characters.kind("bert_removed") : CharClass.NONE;
        blank = clean ? characters.kind("bert_blank") : CharClass.NONE;
        chinese = fields.yes("handle_chinese_chars", true) ? characters.kind("chinese") : CharClass.NONE;
        decompose = strip ? new UnicodeForm(characters, "nfd", false) : null;
        unaccent = strip ? Normalizer.without(characters.kind("nonspacing")) : null;
        lowercase = lower ? Normalizer.lowercase(characters) : null;
    }

    @Override
    public Normalized apply(Normalized text) {
        Rewrite rewrite = new Rewrite(text, text.length + 8);
        boolean plain = true;
        for (int index = 0; index < text.length; index++) {
            int character = text.chars[index];
            plain &= character < 0x80;
            if (removed.has(character)) {
                continue;
            }
            boolean apart = chinese.has(character);
            if (apart) {
                rewrite.replace(index, ' ');
            }
            rewrite.replace(index, blank.has(character) ? ' ' : character);
            if (apart) {
                rewrite.replace(index, ' ');
            }
        }
        Normalized now = rewrite.done();
        if (decompose != null && !plain) {
            now = unaccent.apply(decompose.apply(now));
        }
        return lowercase == null ? now : lowercase.apply(now);
    }
}
