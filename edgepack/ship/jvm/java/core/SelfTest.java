package edgepack.module;

import org.jspecify.annotations.NonNull;
import org.jspecify.annotations.Nullable;

/** Whether this device answers as the one that was measured. problem: one sentence, null where ok. */
public final class SelfTest {
    public final boolean ok;
    public final @Nullable String problem;
    public final int texts;
    /** Of the texts that are asked as text, those whose token ids are the teacher's. */
    public final int idsEqual;

    /** Texts that are asked as text. */
    public final int idsAsked;

    /** The rest, which came as token ids: their outputs are compared, and no text is there to be read. */
    public final int fromIds;

    /** Texts that are decided as when the pack was built; 0 where an older pack states no decisions. */
    public final int answersEqual;

    public final double largestDifference;
    public final double tolerance;

    /** Of a test that could not begin. */
    SelfTest(String problem, double tolerance) {
        this(problem, 0, 0, 0, 0, Double.NaN, tolerance);
    }

    SelfTest(@Nullable String problem, int texts, int idsAsked, int idsEqual, int answersEqual, double largestDifference, double tolerance) {
        this.ok = problem == null;
        this.problem = problem;
        this.texts = texts;
        this.idsEqual = idsEqual;
        this.idsAsked = idsAsked;
        this.fromIds = texts - idsAsked;
        this.answersEqual = answersEqual;
        this.largestDifference = largestDifference;
        this.tolerance = tolerance;
    }

    @Override
    public @NonNull String toString() {
        String rest = fromIds > 0 ? ", " + fromIds + " came as token ids" : "";
        String ids = ", token ids of " + idsEqual + " of " + idsAsked + " equal" + rest;
        return ok ? "yes: " + texts + " texts, off by " + largestDifference + " at most, limit " + tolerance + ids : "no: " + problem;
    }
}
