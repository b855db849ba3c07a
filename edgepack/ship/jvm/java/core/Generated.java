package edgepack.module;

/** A text that was written. endedBy: stop, max_tokens, positions (the model has no room left) or listener. */
public final class Generated {
    public final String text;
    public final int[] tokens;
    public final int promptTokens;
    public final String endedBy;

    Generated(String text, int[] tokens, int promptTokens, String endedBy) {
        this.text = text;
        this.tokens = tokens;
        this.promptTokens = promptTokens;
        this.endedBy = endedBy;
    }
}
