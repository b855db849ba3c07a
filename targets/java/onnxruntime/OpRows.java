package edgepack.module;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** What onnxruntime's profiler says of single ops, as targets/onnxruntime_ops.py reads it: which op, how long, and what ran it. */
final class OpRows {
    private static final Pattern HASH = Pattern.compile("_[0-9]{9,}(?=_[0-9])"); // of the graph, in the name of a part that a provider took
    private static final Set<String> INTEGER_OPS = new HashSet<>(Arrays.asList("DynamicQuantizeLinear", "DynamicQuantizeMatMul",
            "GatherBlockQuantized", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "QAttention", "QGemm", "QLinearMatMul",
            "QuantizeLinear"));

    private OpRows() {}

    /** {op, ms, inside, integers, provider} of one inference's ops, in the order of the run; ms is the mean of those after the warm-up. */
    static List<Object> rows(File profile, int warmUpRuns, int runs) throws IOException {
        List<Kernel> kernels = kernels(profile);
        int oneRun = kernels.size() / (warmUpRuns + runs);
        List<Kernel> timed = kernels.subList(warmUpRuns * oneRun, kernels.size());
        List<Object> rows = new ArrayList<>();
        for (int index = 0; index < oneRun; index++) {
            Kernel first = timed.get(index);
            double micros = 0;
            int times = 0;
            for (int at = index; at < timed.size(); at += oneRun) {
                micros += timed.get(at).micros;
                times++;
            }
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("op", HASH.matcher(first.op).replaceAll(""));
            row.put("ms", micros / times / 1e3);
            row.put("inside", null);
            row.put("integers", INTEGER_OPS.contains(first.op));
            row.put("provider", first.provider);
            rows.add(row);
        }
        return rows;
    }

    /** An event stands in a line: of a model with many layers, all of them together may be more than an app's heap holds. */
    private static List<Kernel> kernels(File profile) throws IOException {
        List<Kernel> kernels = new ArrayList<>();
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(new FileInputStream(profile), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String text = line.trim();
                if (text.isEmpty() || text.equals("[") || text.equals("]")) {
                    continue;
                }
                Object read = Json.parse(text.endsWith(",") ? text.substring(0, text.length() - 1) : text);
                Fields event = new Fields(read, "an event of onnxruntime's profile");
                if (event.has("cat") && event.text("cat").equals("Node") && event.text("name").endsWith("_kernel_time")) {
                    kernels.add(new Kernel(event));
                }
            }
        }
        return kernels;
    }

    /** One op of one inference. */
    private static final class Kernel {
        final String op;
        final String provider; // null: the profile names none
        final double micros;

        Kernel(Fields event) {
            Fields facts = event.object("args");
            op = facts.text("op_name");
            provider = facts.has("provider") ? facts.text("provider") : null;
            micros = event.number("dur");
        }
    }
}
