package edgepack.module;

import org.jspecify.annotations.NonNull;
import org.jspecify.annotations.Nullable;

/** Whether this device answers as the one that was measured. problem: one sentence, null where ok. */
public final class SelfTest {
    public final boolean ok;
    public final @Nullable String problem;
    public final int texts;
    /** Texts whose token ids are the teacher's; the rest came as ids. */
    public final int idsEqual;

    /** Texts that are decided as when the pack was built; 0 where an older pack states no decisions. */
    public final int answersEqual;

    public final double largestDifference;
    public final double tolerance;

    SelfTest(@Nullable String problem, int texts, int idsEqual, int answersEqual, double largestDifference, double tolerance) {
        this.ok = problem == null;
        this.problem = problem;
        this.texts = texts;
        this.idsEqual = idsEqual;
        this.answersEqual = answersEqual;
        this.largestDifference = largestDifference;
        this.tolerance = tolerance;
    }

    @Override
    public @NonNull String toString() {
        return ok ? "yes: " + texts + " texts, off by " + largestDifference + " at most, limit " + tolerance : "no: " + problem;
    }
}
