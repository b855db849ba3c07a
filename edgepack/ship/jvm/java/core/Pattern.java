package edgepack.module;

/** What splits a text: a string, or one of the regular expressions of {@link Regex}. */
interface Pattern {
    /** The end of the match that begins at `at`, or -1. */
    int match(int[] chars, int at, int end);

    static Pattern read(Fields fields, Characters characters) {
        return fields.has("String") ? literal(fields.text("String")) : Regex.compile(fields.text("Regex"), characters);
    }

    static Pattern literal(String text) {
        int[] wanted = text.codePoints().toArray();
        return (chars, at, end) -> {
            if (wanted.length == 0 || end - at < wanted.length) {
                return -1;
            }
            for (int index = 0; index < wanted.length; index++) {
                if (chars[at + index] != wanted[index]) {
                    return -1;
                }
            }
            return at + wanted.length;
        };
    }

    static Pattern single(CharClass kind) {
        return (chars, at, end) -> kind.has(chars[at]) ? at + 1 : -1;
    }

    /** All matches from left to right, and what lies between them. */
    default Spans spans(Normalized text) {
        Spans spans = new Spans();
        int behind = 0;
        int at = 0;
        while (at < text.length) {
            int end = match(text.chars, at, text.length);
            if (end <= at) {
                at++;
                continue;
            }
            if (behind < at) {
                spans.add(behind, at, false);
            }
            spans.add(at, end, true);
            at = end;
            behind = end;
        }
        if (behind < text.length) {
            spans.add(behind, text.length, false);
        }
        return spans;
    }
}
