package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/** Splits a text before the model sees it; which ones there are, and what they do, is as in Hugging Face's tokenizers. */
interface PreTokenizer {
    /** Adds the parts of `text`; empty ones are left out by whoever asked. */
    void split(Normalized text, List<Normalized> parts);

    /** The pre-tokenizers that tokenizer.json describes, in their order. */
    static List<PreTokenizer> read(Fields tokenizer, Characters characters) {
        List<PreTokenizer> steps = new ArrayList<>();
        if (tokenizer.has("pre_tokenizer")) {
            add(tokenizer.object("pre_tokenizer"), characters, steps);
        }
        return steps;
    }

    static void add(Fields fields, Characters characters, List<PreTokenizer> steps) {
        switch (fields.text("type")) {
            case "Sequence":
                for (Fields part : fields.objects("pretokenizers")) {
                    add(part, characters, steps);
                }
                break;
            case "BertPreTokenizer":
                steps.add(by(Pattern.single(characters.kind("white_space")), "Removed", false));
                steps.add(by(Pattern.single(characters.kind("punctuation")), "Isolated", false));
                break;
            case "WhitespaceSplit":
                steps.add(by(Pattern.single(characters.kind("white_space")), "Removed", false));
                break;
            case "Punctuation":
                steps.add(by(Pattern.single(characters.kind("punctuation")), fields.text("behavior"), false));
                break;
            case "Digits":
                boolean single = fields.yes("individual_digits", false);
                steps.add(by(Pattern.single(characters.kind("numeric")), single ? "Isolated" : "Contiguous", false));
                break;
            case "Split":
                Pattern pattern = Pattern.read(fields.object("pattern"), characters);
                steps.add(by(pattern, fields.text("behavior"), fields.yes("invert", false)));
                break;
            case "Metaspace":
                steps.add(metaspace(fields));
                break;
            case "ByteLevel":
                ByteLevel.add(fields, characters, steps);
                break;
            default:
                throw fields.unknown("type");
        }
    }

    static PreTokenizer by(Pattern pattern, String behaviour, boolean inverted) {
        return (text, parts) -> {
            Spans spans = pattern.spans(text);
            cut(text, (inverted ? spans.inverted() : spans).behaving(behaviour), parts);
        };
    }

    static void cut(Normalized text, Spans spans, List<Normalized> parts) {
        for (int index = 0; index < spans.count(); index++) {
            parts.add(text.slice(spans.start(index), spans.end(index)));
        }
    }

    static PreTokenizer metaspace(Fields fields) {
        int mark = fields.text("replacement").codePointAt(0);
        String scheme = fields.text("prepend_scheme");
        boolean splits = fields.yes("split", true);
        Pattern marks = (chars, at, end) -> chars[at] == mark ? at + 1 : -1;
        return (text, parts) -> {
            Rewrite rewrite = new Rewrite(text, text.length);
            for (int index = 0; index < text.length; index++) {
                rewrite.replace(index, text.chars[index] == ' ' ? mark : text.chars[index]);
            }
            Normalized now = rewrite.done();
            boolean begins = scheme.equals("always") || scheme.equals("first") && now.length > 0 && now.from[0] == 0;
            if (begins && !now.startsWith(mark)) {
                now = now.prepended(new int[] {mark});
            }
            if (splits) {
                cut(now, marks.spans(now).behaving("MergedWithNext"), parts);
            } else {
                parts.add(now);
            }
        };
    }
}
