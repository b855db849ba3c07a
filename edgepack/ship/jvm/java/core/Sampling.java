package edgepack.module;

import java.util.Random;

/** How the next token is chosen: greedy, temperature, then top-k (Fan 2018), then top-p (Holtzman 2020). */
public final class Sampling {
    /** The likeliest token each time. */
    public static final Sampling GREEDY = new Sampling(0, 0, 1, 0);

    private final double temperature;
    private final int topK;
    private final double topP;
    private final long seed;

    /** temperature 0: always the likeliest; topK 0 and topP 1: among all tokens. The same seed draws the same text here. */
    public Sampling(double temperature, int topK, double topP, long seed) {
        if (!(temperature >= 0 && temperature < Double.POSITIVE_INFINITY && topK >= 0 && topP > 0 && topP <= 1)) {
            throw new IllegalArgumentException("out of range: temperature and topK from 0, topP above 0 and up to 1");
        }
        this.temperature = temperature;
        this.topK = topK;
        this.topP = topP;
        this.seed = seed;
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
        int kept = topK == 0 ? logits.length : Math.min(topK, logits.length);
        boolean sorted = kept < logits.length || topP < 1;
        int[] order = sorted ? ordered(logits) : null;
        double[] chances = new double[kept];
        double sum = 0;
        for (int index = 0; index < kept; index++) {
            chances[index] = Math.exp(((double) logits[sorted ? order[index] : index] - logits[best]) / temperature);
            sum += chances[index];
        }
        double limit = 0;
        int count = 0;
        while (count < kept && (count == 0 || limit < topP * sum)) {
            limit += chances[count++];
        }
        double at = draw.nextDouble() * limit;
        int index = 0;
        while (index < count - 1 && at >= chances[index]) {
            at -= chances[index++];
        }
        return sorted ? order[index] : index;
    }

    /** Tokens by falling logit. */
    private static int[] ordered(float[] logits) {
        long[] keys = new long[logits.length];
        for (int index = 0; index < keys.length; index++) {
            int bits = Float.floatToIntBits(logits[index]);
            int rising = bits ^ (bits >> 31 & Integer.MAX_VALUE);
            keys[index] = (long) ~rising << 32 | index;
        }
        java.util.Arrays.sort(keys);
        int[] found = new int[keys.length];
        for (int index = 0; index < keys.length; index++) {
            found[index] = (int) keys[index];
        }
        return found;
    }
}
