package edgepack.module;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Serves one session over a pipe, as targets/board.py does where there is Python: takes files by hash, runs jobs, and cleans up when the
 * pipe ends, however it ends. The folder holds this runner itself, and goes with the session.
 */
final class Board {
    private static final String MARK = "edgepack-target.json"; // in every folder that edgepack makes: nothing without it is ever removed
    private static final int MOST_COMPLAINT = 4000;
    private static final int MOST_LINE = 1 << 24;
    private static final double IDLE_MS = 600_000;
    private static final long OLD_MS = 3_600_000; // of a runner that came and was never started
    private static final int KILLED = 128; // a process that a signal ended has this and the signal's number as its code

    private final File folder;
    private final Store store;
    private final PrintStream out;
    private volatile Process process;
    private volatile long asked = System.nanoTime();
    private volatile boolean busy; // with a request: a large file may take longer to come than a board waits for the next one

    private Board(File folder, PrintStream out) {
        this.folder = folder;
        this.store = new Store(new File(folder, "store"));
        this.out = out;
    }

    static void serve(File folder, InputStream in, PrintStream out) throws IOException {
        sweep(folder);
        Board board = new Board(folder, out);
        board.endWhenIdle();
        Runtime.getRuntime().addShutdownHook(new Thread(board::end));
        out.write("edgepack is here\n".getBytes(StandardCharsets.US_ASCII));
        out.flush();
        InputStream data = new BufferedInputStream(in, 1 << 16);
        for (byte[] line = line(data); line != null; line = line(data)) {
            board.busy = true;
            board.serve((Map<?, ?>) Json.parse(line), data);
            board.asked = System.nanoTime();
            board.busy = false;
        }
        board.end();
    }

    /** Removes what sessions left that were killed, or cut off by a reboot: folders with the mark whose process is gone. */
    private static void sweep(File folder) {
        String name = folder.getName().replaceAll("-[0-9]+-run$", "");
        File[] beside = folder.getParentFile().listFiles();
        for (File place : beside == null ? new File[0] : beside) {
            Matcher run = Pattern.compile(Pattern.quote(name) + "-([0-9]+)-run").matcher(place.getName());
            boolean isOld = place.getName().matches(Pattern.quote(name) + "-new-[0-9a-f]+")
                    && System.currentTimeMillis() - place.lastModified() > OLD_MS;
            boolean isLeft = isOld || run.matches() && !new File("/proc/" + run.group(1)).exists();
            if (isLeft && new File(place, MARK).isFile()) {
                Jobs.delete(place);
            }
        }
    }

    /** A network that is cut without a word leaves nobody here for longer. */
    private void endWhenIdle() {
        Thread thread = new Thread(() -> {
            while (busy || process != null || Timing.msSince(asked) < IDLE_MS) {
                try {
                    Thread.sleep(1000);
                } catch (InterruptedException error) {
                    return;
                }
            }
            System.exit(1);
        });
        thread.setDaemon(true);
        thread.start();
    }

    /** This process ends where `in` ends: whoever started it is gone. */
    static void endWith(InputStream in) {
        Thread thread = new Thread(() -> {
            try {
                while (in.read() >= 0) { }
            } catch (IOException error) {
                // gone all the same
            }
            Runtime.getRuntime().halt(1);
        });
        thread.setDaemon(true);
        thread.start();
    }

    private void serve(Map<?, ?> read, InputStream data) {
        Object answer;
        try {
            Fields request = new Fields(read, "the request");
            String what = request.text("do");
            if (what.equals("run")) {
                start(read.get("job"), request.number("time_out_s"));
                return;
            }
            answer = answered(what, request, data);
        } catch (IOException | RuntimeException error) {
            answer = failure(error);
        }
        say(answer);
    }

    private Object answered(String what, Fields request, InputStream data) throws IOException {
        switch (what) {
            case "facts":
                return facts();
            case "missing":
                return store.missing(request.object("files"));
            case "put":
                store.put(request.text("sha256"), (long) request.number("count"), data);
                return true;
            case "place":
                store.place(new File(folder, Store.checked(request.text("folder"))), request.object("files"));
                return true;
            case "forget":
                store.forget(request.texts("files"));
                return true;
            case "prune":
                store.prune(request.texts("keep"));
                return true;
            default:
                throw new IOException("no request " + what);
        }
    }

    private Map<String, Object> facts() {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("machine", Device.facts());
        for (String python : new String[] {"python", "implementation", "libc", "pointer_bits"}) {
            facts.put(python, null);
        }
        facts.put("folder", folder.getPath());
        facts.put("is_set_up", false);
        facts.put("exists", true);
        facts.put("folder_mb", null);
        facts.put("free_mb", Timing.rounded(folder.getUsableSpace() / 1e6, 1));
        facts.put("is_writable", folder.canWrite());
        facts.put("packages", Collections.emptyMap());
        return facts;
    }

    /** A job on this session's pack, in a process of its own: a fresh one each time, as everywhere. */
    private void start(Object stated, double limitS) throws IOException {
        File job = new File(folder, "job.json");
        try (OutputStream file = new FileOutputStream(job)) {
            file.write(JsonText.of(stated).getBytes(StandardCharsets.UTF_8));
        }
        List<String> command = new ArrayList<>(Arrays.asList("app_process", "/", Runner.class.getName()));
        command.add(new File(folder, "pack").getPath());
        command.add(job.getPath());
        Process started = new ProcessBuilder(command).start();
        process = started;
        new Thread(() -> {
            Object answer = ended(started, limitS);
            asked = System.nanoTime();
            process = null;
            say(answer);
        }).start();
    }

    private static Map<String, Object> ended(Process process, double limitS) {
        ByteArrayOutputStream answer = new ByteArrayOutputStream();
        ByteArrayOutputStream complaint = new ByteArrayOutputStream();
        Thread[] pumps = {new Thread(() -> pump(process.getInputStream(), answer)), new Thread(() -> pump(process.getErrorStream(), complaint))};
        for (Thread pump : pumps) {
            pump.start();
        }
        Map<String, Object> result = new LinkedHashMap<>();
        try {
            boolean inTime = process.waitFor((long) (limitS * 1e3), TimeUnit.MILLISECONDS);
            process.destroyForcibly();
            int code = process.waitFor();
            for (Thread pump : pumps) {
                pump.join();
            }
            String words = new String(complaint.toByteArray(), StandardCharsets.UTF_8);
            result.put("code", (long) (code > KILLED ? KILLED - code : code));
            result.put("out", new String(answer.toByteArray(), StandardCharsets.UTF_8));
            result.put("err", words.substring(Math.max(0, words.length() - MOST_COMPLAINT)));
            result.put("too_long", !inTime);
        } catch (InterruptedException error) {
            result.put("error", "interrupted");
        }
        return result;
    }

    private static void pump(InputStream in, ByteArrayOutputStream out) {
        byte[] part = new byte[1 << 16];
        try {
            for (int got = in.read(part); got >= 0; got = in.read(part)) {
                out.write(part, 0, got);
            }
        } catch (IOException error) {
            // the process is gone: what came is all there is
        }
    }

    private static Map<String, Object> failure(Exception error) {
        String problem = String.valueOf(error.getMessage());
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("error", problem);
        answer.put("disk_is_full", problem.contains("No space left on device") || problem.contains("Disk quota exceeded"));
        return answer;
    }

    /** A line with the count of bytes that follow, and the answer. */
    private synchronized void say(Object answer) {
        byte[] content = JsonText.of(answer).getBytes(StandardCharsets.UTF_8);
        byte[] count = (content.length + "\n").getBytes(StandardCharsets.US_ASCII);
        out.write(count, 0, count.length);
        out.write(content, 0, content.length);
        out.flush();
    }

    private synchronized void end() {
        if (process != null) {
            process.destroyForcibly();
        }
        Jobs.delete(folder);
    }

    private static byte[] line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int next = in.read(); next >= 0; next = in.read()) {
            if (next == '\n') {
                return line.toByteArray();
            }
            if (line.size() == MOST_LINE) {
                throw new IOException("a request without an end");
            }
            line.write(next);
        }
        return null;
    }
}
