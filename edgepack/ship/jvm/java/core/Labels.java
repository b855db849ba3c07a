package edgepack.module;

import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.NonNull;

/** What a text is. cut: it was longer than the model takes, and a part of it alone was read. */
public final class Labels {
    /** A label with its probability, 0 to 1; of a model for regression with its number. */
    public static final class Label {
        public final @NonNull String name;
        public final float score;

        Label(String name, float score) {
            this.name = name;
            this.score = score;
        }

        @Override
        public @NonNull String toString() {
            return name + " " + score;
        }
    }

    public final @NonNull String label;
    public final float score;
    /** All labels, the highest first. */
    public final @NonNull List<@NonNull Label> scores;
    /** Names of all labels that hold: the likeliest, or of a model that decides every label by itself those over their threshold. */
    public final @NonNull List<@NonNull String> chosen;

    public final boolean cut;

    Labels(List<Label> scores, List<String> chosen, boolean cut) {
        this.label = scores.get(0).name;
        this.score = scores.get(0).score;
        this.scores = Collections.unmodifiableList(scores);
        this.chosen = Collections.unmodifiableList(chosen);
        this.cut = cut;
    }

    @Override
    public @NonNull String toString() {
        return scores + (cut ? " (cut)" : "");
    }
}
