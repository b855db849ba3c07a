package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** How targets/protocol.py times and weighs an act: the same warm-up, raw samples, no statistics. */
final class Timing {
    private static final int WARM_UP_RUNS = 10;
    private static final double WARM_UP_MS = 5000;
    private static final double STEADY = 0.02;
    private static final double SLICE_MS = 10_000;

    private Timing() {}

    static double msSince(long start) {
        return (System.nanoTime() - start) / 1e6;
    }

    static double rounded(double value, int digits) {
        double scale = Math.pow(10, digits);
        return Math.rint(value * scale) / scale;
    }

    /** Raw times of `act`, warmed up: at least job.runs of them and job.seconds long. */
    static Map<String, Object> timed(Runnable act, Fields job) {
        long warmUpRuns = warmUp(act, job.has("warm_up_runs") ? job.whole("warm_up_runs") : WARM_UP_RUNS);
        Map<String, Object> before = Device.facts();
        Contention around = new Contention();
        List<Object> samples = new ArrayList<>();
        long began = System.nanoTime();
        while (samples.size() < job.whole("runs") || msSince(began) < job.number("seconds") * 1e3) {
            long start = System.nanoTime();
            act.run();
            samples.add(rounded(msSince(start), 4));
        }
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("samples_ms", samples);
        result.put("warm_up_runs", warmUpRuns);
        result.put("machine_before", before);
        result.put("contention", around.since());
        return result;
    }

    /** `act` again and again for job.seconds, warmed up by nothing: a row for every ten seconds, with clock and temperature then. */
    static Map<String, Object> sustained(Runnable act, Fields job) {
        List<Object> rows = new ArrayList<>();
        double wholeMs = job.number("seconds") * 1e3;
        long began = System.nanoTime();
        while (msSince(began) < wholeMs) {
            double atMs = msSince(began);
            double until = Math.min(wholeMs, atMs + SLICE_MS);
            List<Double> samples = new ArrayList<>();
            while (msSince(began) < until || samples.isEmpty()) {
                long start = System.nanoTime();
                act.run();
                samples.add(msSince(start));
            }
            Map<String, Object> facts = Device.facts();
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("at_s", rounded(atMs / 1e3, 1));
            row.put("n", (long) samples.size());
            row.put("p50", rounded(percentile(samples, 0.5), 4));
            row.put("p90", rounded(percentile(samples, 0.9), 4));
            row.put("clock_mhz", facts.get("clock_mhz"));
            row.put("temperature_c", facts.get("temperature_c"));
            rows.add(row);
        }
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("slices", rows);
        return result;
    }

    /** Memory before `openIt`, after it, and at the peak of `useIt` of what it returned. */
    static <T> Map<String, Object> occupied(Supplier<T> openIt, Consumer<T> useIt) {
        boolean couldReset = Device.resetPeak();
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("empty_mb", Device.residentMb());
        T opened = openIt.get();
        result.put("loaded_mb", Device.residentMb());
        useIt.accept(opened);
        result.put("running_mb", Device.residentMb());
        result.put("peak_is_exact", couldReset);
        return result;
    }

    private static long warmUp(Runnable act, int atLeast) {
        List<Double> times = new ArrayList<>();
        long began = System.nanoTime();
        while (true) {
            long start = System.nanoTime();
            act.run();
            times.add(msSince(start));
            int count = times.size();
            boolean steady = count >= WARM_UP_RUNS
                    && Math.abs(percentile(times.subList(count - 5, count), 0.5) / percentile(times.subList(count - 10, count - 5), 0.5) - 1)
                            < STEADY;
            if (count >= atLeast && (steady || msSince(began) > WARM_UP_MS)) {
                return count;
            }
        }
    }

    /** As numpy reads between two values. */
    static double percentile(List<Double> values, double share) {
        double[] sorted = new double[values.size()];
        for (int index = 0; index < sorted.length; index++) {
            sorted[index] = values.get(index);
        }
        Arrays.sort(sorted);
        double place = share * (sorted.length - 1);
        int below = (int) Math.floor(place);
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
    }

    /** What other processes take of the cores from now on; a hypervisor's other guests apart. */
    static final class Contention {
        private final double[] before = Device.cpuSeconds();
        private final long start = System.nanoTime();

        /** Shares of the cores' time, 0 to 1; null where the system does not tell. */
        Map<String, Object> since() {
            double[] now = Device.cpuSeconds();
            double whole = msSince(start) / 1e3 * Runtime.getRuntime().availableProcessors();
            boolean known = before != null && now != null && whole > 0;
            Map<String, Object> result = new LinkedHashMap<>();
            result.put("others", known ? share(now[0] - before[0] - (now[2] - before[2]), whole) : null);
            result.put("stolen", known ? share(now[1] - before[1], whole) : null);
            return result;
        }

        private static double share(double seconds, double whole) {
            return rounded(Math.min(1, Math.max(0, seconds / whole)), 4);
        }
    }
}
