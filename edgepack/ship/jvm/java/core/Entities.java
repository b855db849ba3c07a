package edgepack.module;

import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.NonNull;

/** What a text names. cut: it was longer than the model takes; nothing was looked for in the rest. */
public final class Entities {
    /** start, end: chars of the text, text.substring(start, end). score: mean probability of its tags. */
    public static final class Entity {
        public final @NonNull String kind;
        public final @NonNull String text;
        public final int start;
        public final int end;
        public final float score;

        Entity(String kind, String text, int start, int end, float score) {
            this.kind = kind;
            this.text = text;
            this.start = start;
            this.end = end;
            this.score = score;
        }

        @Override
        public @NonNull String toString() {
            return kind + " " + text + " " + start + ".." + end;
        }
    }

    public final @NonNull List<@NonNull Entity> entities;
    public final boolean cut;

    Entities(List<Entity> entities, boolean cut) {
        this.entities = Collections.unmodifiableList(entities);
        this.cut = cut;
    }

    @Override
    public @NonNull String toString() {
        return entities + (cut ? " (cut)" : "");
    }
}
