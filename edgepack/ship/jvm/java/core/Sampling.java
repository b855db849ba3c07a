package edgepack.module;

import java.util.Arrays;
import java.util.Random;
import org.jspecify.annotations.NonNull;

/**
 * How the next token is chosen: greedy, or temperature, then top-k (Fan 2018), top-p (Holtzman 2020), min-p (Nguyen 2024), typical
 * (Meister 2022), epsilon and eta (Hewitt 2022), in the order of transformers.
 */
public final class Sampling {
    /** The likeliest token each time. */
    public static final @NonNull Sampling GREEDY = new Sampling(0, 0, 1, 0);

    private final double temperature;
    private final int topK;
    private final double topP;
    private final long seed;
    private final double minP;
    private final double typicalP;
    private final double epsilon;
    private final double eta;

    /** temperature 0: always the likeliest; topK 0 and topP 1: among all tokens. The same seed draws the same text here. */
    public Sampling(double temperature, int topK, double topP, long seed) {
        this(temperature, topK, topP, seed, null);
    }

    private Sampling(double temperature, int topK, double topP, long seed, Fields answers) {
        if (!(temperature >= 0 && temperature < Double.POSITIVE_INFINITY && topK >= 0 && topP > 0 && topP <= 1)) {
            throw new IllegalArgumentException("out of range: temperature and topK from 0, topP above 0 and up to 1");
        }
        this.temperature = temperature;
        this.topK = topK;
        this.topP = topP;
        this.seed = seed;
        minP = stated(answers, "min_p", 0);
        typicalP = stated(answers, "typical_p", 1);
        epsilon = stated(answers, "epsilon_cutoff", 0);
        eta = stated(answers, "eta_cutoff", 0);
    }

    /** As the model's folder says: greedy where it says nothing. */
    public static @NonNull Sampling stated(@NonNull Manifest manifest, long seed) {
        return stated(manifest.answers, seed);
    }

    static Sampling stated(Fields answers, long seed) {
        if (answers == null || !answers.yes("do_sample", false)) {
            return GREEDY;
        }
        int topK = answers.has("top_k") ? answers.whole("top_k") : 0;
        return new Sampling(stated(answers, "temperature", 1), topK, stated(answers, "top_p", 1), seed, answers);
    }

    private static double stated(Fields answers, String name, double otherwise) {
        return answers != null && answers.has(name) ? answers.number(name) : otherwise;
    }

    Random draws() {
        return new Random(seed);
    }

    int choose(float[] logits, Random draw) {
        int best = Tasks.best(logits, 0, logits.length);
        if (Float.isNaN(logits[best]) || Float.isInfinite(logits[best])) {
            throw new PackException("the model's logits are not numbers: run the self-test");
        }
        if (temperature == 0 || topK == 1) {
            return best;
        }
        int candidates = topK == 0 ? logits.length : Math.min(topK, logits.length);
        boolean sorted = candidates < logits.length || topP < 1 || cuts();
        int[] order = sorted ? ordered(logits) : null;
        double[] chances = new double[candidates];
        double sum = 0;
        for (int index = 0; index < candidates; index++) {
            chances[index] = Math.exp(((double) logits[sorted ? order[index] : index] - logits[best]) / temperature);
            sum += chances[index];
        }
        double limit = 0;
        int count = 0;
        while (count < candidates && (count == 0 || limit < topP * sum)) {
            limit += chances[count++];
        }
        if (cuts()) {
            chances = Arrays.copyOf(chances, count);
            cut(chances);
            limit = sum(chances);
        }
        double at = draw.nextDouble() * limit;
        int index = 0;
        while (index < count - 1 && at >= chances[index]) {
            at -= chances[index++];
        }
        while (chances[index] == 0) {
            index--;
        }
        return sorted ? order[index] : index;
    }

    private boolean cuts() {
        return minP > 0 || typicalP < 1 || epsilon > 0 || eta > 0;
    }

    /** Chances by falling value: those that are cut become 0. The first is the likeliest. */
    private void cut(double[] chances) {
        if (minP > 0) {
            keep(chances, minP * chances[0]);
        }
        if (typicalP < 1) {
            typical(chances);
        }
        if (epsilon > 0) {
            keep(chances, Math.min(epsilon * sum(chances), largest(chances)));
        }
        if (eta > 0) {
            double sum = sum(chances);
            double entropy = 0;
            for (double chance : chances) {
                entropy -= chance > 0 ? chance / sum * Math.log(chance / sum) : 0;
            }
            double least = Math.min(eta, Math.sqrt(eta) * Math.exp(-entropy));
            keep(chances, Math.min(least * sum, largest(chances)));
        }
    }

    private static void keep(double[] chances, double least) {
        for (int index = 0; index < chances.length; index++) {
            chances[index] = chances[index] >= least ? chances[index] : 0;
        }
    }

    /** Tokens whose surprise is nearest to the expected one, as many as reach the mass. */
    private void typical(double[] chances) {
        double sum = sum(chances);
        double expected = 0;
        for (double chance : chances) {
            expected -= chance > 0 ? chance / sum * Math.log(chance / sum) : 0;
        }
        double[] distances = new double[chances.length];
        Integer[] nearest = new Integer[chances.length];
        for (int index = 0; index < chances.length; index++) {
            distances[index] = Math.abs(-Math.log(Math.max(chances[index] / sum, 1e-300)) - expected);
            nearest[index] = index;
        }
        Arrays.sort(nearest, (first, other) -> Double.compare(distances[first], distances[other]));
        int last = 0;
        double mass = chances[nearest[0]] / sum;
        while (last < nearest.length - 1 && mass < typicalP) {
            mass += chances[nearest[++last]] / sum;
        }
        double farthest = distances[nearest[last]];
        for (int index = 0; index < chances.length; index++) {
            chances[index] = distances[index] <= farthest ? chances[index] : 0;
        }
    }

    private static double sum(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum;
    }

    private static double largest(double[] values) {
        double largest = 0;
        for (double value : values) {
            largest = Math.max(largest, value);
        }
        return largest;
    }

    /** Tokens by falling logit. */
    private static int[] ordered(float[] logits) {
        long[] keys = new long[logits.length];
        for (int index = 0; index < keys.length; index++) {
            int bits = Float.floatToIntBits(logits[index]);
            int rising = bits ^ (bits >> 31 & Integer.MAX_VALUE);
            keys[index] = (long) ~rising << 32 | index;
        }
        Arrays.sort(keys);
        int[] result = new int[keys.length];
        for (int index = 0; index < keys.length; index++) {
            result[index] = (int) keys[index];
        }
        return result;
    }
}
