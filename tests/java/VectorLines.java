package edgepack.module;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** For tests: Java's codes and search. A JSON object a line in: a manifest, vectors, queries, count, rescore; what they give out. */
public final class VectorLines {
    private VectorLines() {}

    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            StringBuilder answer = new StringBuilder();
            try {
                Lines.write(asked(new Fields(Json.parse(line), "line")), answer);
            } catch (IllegalArgumentException refused) {
                answer.setLength(0);
                Lines.write(Map.of("problem", refused.getMessage()), answer);
            }
            System.out.println(answer);
        }
    }

    private static Map<String, ?> asked(Fields asked) {
        VectorCodes coder = VectorCodes.of(new Manifest(asked.text("manifest").getBytes(StandardCharsets.UTF_8)));
        VectorIndex index = new VectorIndex(coder);
        if (asked.has("saved")) {
            index.restore(Base64.getDecoder().decode(asked.text("saved")));
        }
        List<List<Integer>> codes = new ArrayList<>();
        for (Object row : asked.list("vectors")) {
            Vector vector = vector((List<?>) row);
            List<Integer> code = new ArrayList<>();
            for (byte value : coder.code(vector.values)) {
                code.add(coder.isBinary() ? value & 0xFF : value);
            }
            codes.add(code);
            index.add(vector);
        }
        List<List<List<Number>>> hits = new ArrayList<>();
        for (Object row : asked.list("queries")) {
            List<List<Number>> each = new ArrayList<>();
            for (VectorIndex.Hit hit : index.search(vector((List<?>) row), asked.whole("count"), asked.whole("rescore"))) {
                each.add(Arrays.asList(hit.place, hit.score));
            }
            hits.add(each);
        }
        return Map.of("codes", codes, "hits", hits, "saved", Base64.getEncoder().encodeToString(index.toBytes()));
    }

    private static Vector vector(List<?> row) {
        float[] values = new float[row.size()];
        for (int at = 0; at < values.length; at++) {
            values[at] = ((Number) row.get(at)).floatValue();
        }
        return new Vector(values, false, null, null);
    }
}
