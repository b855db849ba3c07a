package edgepack.module;

import java.util.ArrayList;
import java.util.List;

/**
 * A text as words: runs without white space, less punctuation and symbols at their ends, which are words of their own.
 *
 * <p>As corpora with tagged words do it, which such models learn from.
 */
final class Words {
    final List<String> texts = new ArrayList<>();
    /** Chars of the text. */
    final List<int[]> spans = new ArrayList<>();

    Words(String text, CharClass blank, CharClass inside) {
        int at = 0;
        while (at < text.length()) {
            int start = at;
            while (at < text.length() && !blank.has(text.codePointAt(at))) {
                at += Character.charCount(text.codePointAt(at));
            }
            if (at > start) {
                run(text, start, at, inside);
            } else {
                at += Character.charCount(text.codePointAt(at));
            }
        }
    }

    private Words() {}

    /** Every character that is no white space is a word. */
    static Words characters(String text, CharClass blank) {
        Words result = new Words();
        for (int at = 0; at < text.length(); ) {
            int next = at + Character.charCount(text.codePointAt(at));
            if (!blank.has(text.codePointAt(at))) {
                result.add(text, at, next);
            }
            at = next;
        }
        return result;
    }

    /** Words given as such; their spans are those of the words joined by single blanks. */
    Words(List<String> words) {
        int at = 0;
        for (String word : words) {
            texts.add(word);
            spans.add(new int[] {at, at + word.length()});
            at += word.length() + 1;
        }
    }

    private void run(String text, int start, int end, CharClass inside) {
        int first = start;
        while (first < end && !inside.has(text.codePointAt(first))) {
            int next = first + Character.charCount(text.codePointAt(first));
            add(text, first, next);
            first = next;
        }
        int last = end;
        while (last > first && !inside.has(text.codePointBefore(last))) {
            last -= Character.charCount(text.codePointBefore(last));
        }
        if (last > first) {
            add(text, first, last);
        }
        while (last < end) {
            int next = last + Character.charCount(text.codePointAt(last));
            add(text, last, next);
            last = next;
        }
    }

    private void add(String text, int start, int end) {
        texts.add(text.substring(start, end));
        spans.add(new int[] {start, end});
    }
}
