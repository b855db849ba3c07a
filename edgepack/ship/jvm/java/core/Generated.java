package edgepack.module;

import org.jspecify.annotations.NonNull;

/** A text that was written. endedBy: stop, max_tokens, positions (the model has no room left) or listener. */
public final class Generated {
    public final @NonNull String text;
    public final int @NonNull [] tokens;
    public final int promptTokens;
    public final @NonNull String endedBy;

    Generated(String text, int[] tokens, int promptTokens, String endedBy) {
        this.text = text;
        this.tokens = tokens;
        this.promptTokens = promptTokens;
        this.endedBy = endedBy;
    }

    @Override
    public @NonNull String toString() {
        return text;
    }
}
