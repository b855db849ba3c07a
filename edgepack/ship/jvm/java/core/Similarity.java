package edgepack.module;

/** How alike two vectors are, by what the model's folder states, as sentence-transformers' `similarity`: more is more alike. */
final class Similarity {
    private static final double SMALLEST = 1e-12;

    private Similarity() {}

    static double of(Fields answers, float[] first, float[] second) {
        if (first.length != second.length) {
            throw new IllegalArgumentException("vectors of " + first.length + " and " + second.length + " numbers cannot be compared");
        }
        String name = answers != null && answers.has("similarity") ? answers.text("similarity") : "cosine";
        switch (name) {
            case "cosine":
                return dot(first, second) / (length(first) * length(second));
            case "dot":
                return dot(first, second);
            case "euclidean":
                return -distance(first, second, true);
            case "manhattan":
                return -distance(first, second, false);
            default:
                throw answers.unknown("similarity");
        }
    }

    private static double dot(float[] first, float[] second) {
        double sum = 0;
        for (int index = 0; index < first.length; index++) {
            sum += (double) first[index] * second[index];
        }
        return sum;
    }

    private static double length(float[] values) {
        return Math.max(SMALLEST, Math.sqrt(dot(values, values)));
    }

    private static double distance(float[] first, float[] second, boolean squared) {
        double sum = 0;
        for (int index = 0; index < first.length; index++) {
            double gap = Math.abs((double) first[index] - second[index]);
            sum += squared ? gap * gap : gap;
        }
        return squared ? Math.sqrt(sum) : sum;
    }
}
