package edgepack.module;

import org.jspecify.annotations.NonNull;

/**
 * A span of the context: context.substring(start, end). score: probability of its start times that of its end.
 *
 * <p>cut: never, for a long context is read in several windows.
 */
public final class Answer {
    public final @NonNull String text;
    public final int start;
    public final int end;
    public final float score;
    public final boolean cut = false;

    Answer(String text, int start, int end, float score) {
        this.text = text;
        this.start = start;
        this.end = end;
        this.score = score;
    }

    @Override
    public @NonNull String toString() {
        return text + " " + start + ".." + end;
    }
}
