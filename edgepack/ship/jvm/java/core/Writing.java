package edgepack.module;

import java.util.Arrays;

/**
 * A decoder's text, piece by piece: a character of several tokens waits for its last. It is the text of the new tokens alone, as
 * transformers' pipeline gives it.
 */
final class Writing {
    private static final int MOST_TOKENS = 128; // of a text whose length neither the call nor the model's folder says

    static final char NOT_WHOLE = '\uFFFD'; // what stands for bytes that are no character, or none yet

    private final Tokenizer tokenizer;
    private final TextListener listener;
    private final StringBuilder written = new StringBuilder();
    private int[] ids;
    private int count;
    private final int from;
    private String shown = "";
    private String text = "";
    private boolean wanted = true;

    /** isStart: whether the prompt is the model's start token, which belongs to the text unless it is a special one. */
    Writing(Tokenizer tokenizer, int[] prompt, boolean isStart, TextListener listener) {
        this.tokenizer = tokenizer;
        this.listener = listener;
        ids = Arrays.copyOf(prompt, prompt.length + 64);
        count = prompt.length;
        from = isStart ? 0 : count;
    }

    /** Whether to go on. */
    boolean add(int token) {
        put(token);
        count++;
        int end = text.length();
        while (end > 0 && text.charAt(end - 1) == NOT_WHOLE) {
            end--;
        }
        String certain = text.substring(0, end);
        if (end > shown.length() && certain.startsWith(shown)) {
            show(certain.substring(shown.length()));
            shown = certain;
        }
        return wanted;
    }

    /** The token that ends a text is none of its tokens, and is shown unless it is a special one. */
    void end(int token) {
        put(token);
    }

    private void put(int token) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, count * 2);
        }
        ids[count] = token;
        text = tokenizer.decode(ids, from, count + 1);
    }

    /** Bytes that never became a character are shown as they are. */
    String finished() {
        if (wanted && text.length() > shown.length()) {
            show(text.substring(shown.length()));
        }
        return written.toString();
    }

    float[] adjusted(Penalties penalties, float[] logits) {
        return penalties.adjusted(logits, ids, count);
    }

    boolean ended(StopStrings strings) {
        return strings.end(ids, count);
    }

    /** All ids where there is room for one more; else the first, which models lean on, and the last half of the positions. */
    int[] fitting(int positions) {
        if (count < positions) {
            return Arrays.copyOf(ids, count);
        }
        int last = Math.max(1, positions / 2);
        int[] result = new int[last + 1];
        result[0] = ids[0];
        System.arraycopy(ids, count - last, result, 1, last);
        return result;
    }

    int last() {
        return ids[count - 1];
    }

    int[] tokens(int behind) {
        return Arrays.copyOfRange(ids, behind, count);
    }

    private void show(String piece) {
        written.append(piece);
        wanted = listener == null || listener.onText(piece);
    }

    /** As the model's folder says. prompt: its tokens. */
    static int mostTokens(Manifest manifest, int prompt) {
        Fields answers = manifest.answers;
        if (answers != null && answers.has("max_new_tokens")) {
            return answers.whole("max_new_tokens");
        }
        return answers != null && answers.has("max_length") ? Math.max(1, answers.whole("max_length") - prompt) : MOST_TOKENS;
    }
}
