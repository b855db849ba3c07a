package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Rewrites a text before it is split; which ones there are, and what they do, is as in Hugging Face's tokenizers. */
interface Normalizer {
    Normalized apply(Normalized text);

    /** The normalizer that tokenizer.json describes; one that changes nothing where it is null. */
    static Normalizer read(Fields tokenizer, Characters characters) {
        return tokenizer.has("normalizer") ? single(tokenizer.object("normalizer"), characters) : text -> text;
    }

    static Normalizer single(Fields fields, Characters characters) {
        switch (fields.text("type")) {
            case "Sequence":
                return sequence(fields, characters);
            case "BertNormalizer":
                return new BertNormalizer(fields, characters);
            case "NFC":
                return new UnicodeForm(characters, "nfd", true);
            case "NFD":
                return new UnicodeForm(characters, "nfd", false);
            case "NFKC":
                return new UnicodeForm(characters, "nfkd", true);
            case "NFKD":
                return new UnicodeForm(characters, "nfkd", false);
            case "Lowercase":
                return lowercase(characters);
            case "StripAccents":
                return without(characters.kind("combining"));
            case "Strip":
                return strip(fields, characters.kind("white_space"));
            case "Prepend":
                int[] added = fields.text("prepend").codePoints().toArray();
                return text -> text.prepended(added);
            case "Replace":
                int[] content = fields.text("content").codePoints().toArray();
                Pattern pattern = Pattern.read(fields.object("pattern"), characters);
                return text -> replaced(text, pattern, content);
            case "Precompiled":
                return new Precompiled(fields.text("precompiled_charsmap"), characters);
            default:
                throw fields.unknown("type");
        }
    }

    static Normalizer sequence(Fields fields, Characters characters) {
        List<Normalizer> steps = new ArrayList<>();
        for (Fields part : fields.objects("normalizers")) {
            steps.add(single(part, characters));
        }
        return text -> {
            Normalized now = text;
            for (Normalizer normalizer : steps) {
                now = normalizer.apply(now);
            }
            return now;
        };
    }

    static Normalizer lowercase(Characters characters) {
        CharMap lower = characters.map("lowercase");
        return text -> {
            Rewrite rewrite = new Rewrite(text, text.length);
            for (int index = 0; index < text.length; index++) {
                int[] small = lower.get(text.chars[index]);
                if (small == null) {
                    rewrite.replace(index, text.chars[index]);
                } else {
                    for (int character : small) {
                        rewrite.replace(index, character);
                    }
                }
            }
            return rewrite.done();
        };
    }

    static Normalizer without(CharClass removed) {
        return text -> {
            Rewrite rewrite = new Rewrite(text, text.length);
            for (int index = 0; index < text.length; index++) {
                if (!removed.has(text.chars[index])) {
                    rewrite.replace(index, text.chars[index]);
                }
            }
            return rewrite.done();
        };
    }

    static Normalizer strip(Fields fields, CharClass blank) {
        boolean left = fields.yes("strip_left", false);
        boolean right = fields.yes("strip_right", false);
        return text -> {
            int start = 0;
            int end = text.length;
            while (left && start < end && blank.has(text.chars[start])) {
                start++;
            }
            while (right && end > start && blank.has(text.chars[end - 1])) {
                end--;
            }
            return text.slice(start, end);
        };
    }

    /** What takes the place of a match counts as part of the match's last character. */
    static Normalized replaced(Normalized text, Pattern pattern, int[] content) {
        Spans spans = pattern.spans(text);
        if (!spans.anyMatch()) {
            return text;
        }
        Rewrite rewrite = new Rewrite(text, text.length);
        for (int index = 0; index < spans.count(); index++) {
            if (!spans.match(index)) {
                rewrite.keep(spans.start(index), spans.end(index));
                continue;
            }
            for (int character : content) {
                rewrite.replace(spans.end(index) - 1, character);
            }
        }
        return rewrite.done();
    }
}
