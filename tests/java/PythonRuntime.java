package edgepack.module;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** For tests: the runtime that runs here, in a Python process beside the JVM. Android's own libraries do not run here. */
final class PythonRuntime implements ModelRuntime {
    private final Process process;
    private final BufferedWriter out;
    private final BufferedReader in;
    private int decoders;

    PythonRuntime(List<String> command) {
        try {
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        } catch (IOException error) {
            throw new PackException("no Python process", error);
        }
        out = new BufferedWriter(new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8));
        in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    private synchronized float[][] asked(String line) {
        try {
            out.write(line + "\n");
            out.flush();
            List<?> arrays = new Fields(Json.parse(in.readLine()), "the Python process").list("arrays");
            float[][] result = new float[arrays.size()][];
            for (int index = 0; index < result.length; index++) {
                List<?> values = (List<?>) arrays.get(index);
                result[index] = new float[values.size()];
                for (int place = 0; place < values.size(); place++) {
                    result[index][place] = ((Number) values.get(place)).floatValue();
                }
            }
            return result;
        } catch (IOException error) {
            throw new PackException("the Python process is gone", error);
        }
    }

    @Override
    public float[][] run(int[] ids, int[] typeIds) {
        return asked("{\"ids\":" + Arrays.toString(ids) + ",\"types\":" + Arrays.toString(typeIds) + "}");
    }

    @Override
    public ModelDecoder decoder(int positions) {
        int number = decoders++;
        asked("{\"open\":" + number + ",\"positions\":" + positions + "}");
        return new Decoder(number);
    }

    /** Logits for every token of a decoder's text. */
    float[] scores(int[] ids) {
        return asked("{\"score\":" + Arrays.toString(ids) + "}")[0];
    }

    /** One of the Python process's. */
    final class Decoder implements ModelDecoder {
        private final int number;

        private Decoder(int number) {
            this.number = number;
        }

        @Override
        public float[] step(int[] ids) {
            return asked("{\"step\":" + number + ",\"ids\":" + Arrays.toString(ids) + "}")[0];
        }

        void forget(int length) {
            asked("{\"forget\":" + number + ",\"length\":" + length + "}");
        }

        @Override
        public void close() {}
    }

    @Override
    public void close() {
        process.destroy();
    }
}
