package edgepack.module;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Map;

/** What measures a pack where there is no Python: PACK JOB.json does one job, FOLDER alone serves a session over standard input. */
public final class Runner {
    private Runner() {}

    public static void main(String[] arguments) throws IOException {
        PrintStream out = System.out;
        System.setOut(System.err); // what libraries print is no answer
        if (arguments.length == 1) {
            Board.serve(new File(arguments[0]), System.in, out);
            System.exit(0); // a thread that still waits keeps nothing alive
        }
        Map<String, Object> answer;
        try {
            answer = answered(new File(arguments[0]), new File(arguments[1]));
        } catch (Refused refused) {
            Map<String, Object> reason = new LinkedHashMap<>();
            reason.put("problem", refused.getMessage());
            reason.put("fix", refused.fix);
            out.print(JsonText.of(java.util.Collections.singletonMap("error", reason)));
            out.flush();
            System.exit(1);
            return;
        }
        out.print(JsonText.of(answer));
        out.flush();
        System.exit(0);
    }

    private static Map<String, Object> answered(File folder, File jobFile) throws IOException {
        Board.endWith(System.in);
        Object stated = Json.parse(new FolderFiles(jobFile.getParentFile()).read(jobFile.getName()));
        long start = System.nanoTime();
        Map<String, Object> runtime = new LinkedHashMap<>();
        runtime.put("name", RunnerRuntime.NAME);
        runtime.put("version", RunnerRuntime.version());
        runtime.put("numpy", null);
        runtime.put("import_ms", Device.emulatedBy() == null ? (Object) Timing.msSince(start) : null);
        Map<String, Object> result = new LinkedHashMap<>(Jobs.done(folder, new Fields(stated, "the job"), new RunnerRuntime()));
        Map<String, Object> settings = new LinkedHashMap<>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) stated).entrySet()) {
            if (!entry.getKey().equals("rows")) {
                settings.put((String) entry.getKey(), entry.getValue());
            }
        }
        result.put("job", settings);
        result.put("runtime", runtime);
        result.put("machine", Device.facts());
        return result;
    }
}
