package edgepack.module;

import java.util.Collections;
import java.util.List;

/** What a text is. cut: it was longer than the model takes, and only its beginning was read. */
public final class Labels {
    /** A label with its probability, 0 to 1. */
    public static final class Label {
        public final String name;
        public final float score;

        Label(String name, float score) {
            this.name = name;
            this.score = score;
        }

        @Override
        public String toString() {
            return name + " " + score;
        }
    }

    public final String label;
    public final float score;
    /** All labels, the likeliest first. */
    public final List<Label> scores;

    public final boolean cut;

    Labels(List<Label> scores, boolean cut) {
        this.label = scores.get(0).name;
        this.score = scores.get(0).score;
        this.scores = Collections.unmodifiableList(scores);
        this.cut = cut;
    }

    @Override
    public String toString() {
        return scores + (cut ? " (cut)" : "");
    }
}
