package edgepack.module;

import java.util.Collections;
import java.util.List;

/** Whether a text ended: one of the model's stop strings ends within its last token. */
final class StopStrings {
    private final Tokenizer tokenizer;
    private final List<String> strings;
    private final int tail; // tokens that hold the longest string

    /** answers: the manifest's, or null. */
    StopStrings(Fields answers, Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
        boolean stated = answers != null && answers.has("stop_strings");
        strings = stated ? answers.texts("stop_strings") : Collections.<String>emptyList();
        int longest = 0;
        for (String string : strings) {
            longest = Math.max(longest, string.length());
        }
        tail = 4 * longest + 4;
    }

    boolean end(int[] ids, int count) {
        if (strings.isEmpty()) {
            return false;
        }
        int start = Math.max(0, count - tail);
        String text = tokenizer.decodeAll(ids, start, count);
        String sooner = tokenizer.decodeAll(ids, start, count - 1);
        int before = sooner.length();
        while (before > 0 && sooner.charAt(before - 1) == Writing.NOT_WHOLE) {
            before--;
        }
        for (String string : strings) {
            if (text.indexOf(string, Math.max(0, before - string.length() + 1)) >= 0) {
                return true;
            }
        }
        return false;
    }
}
