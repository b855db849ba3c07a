package edgepack.module;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtProvider;
import ai.onnxruntime.OrtSession;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Execution providers that are asked before the CPU's kernels, by onnxruntime's names of them. */
final class Providers {
    private static final String QNN_LIBRARY = "libQnnHtp.so"; // drives the Hexagon processor; it lies beside onnxruntime's own
    private static final String NO_ANDROID = "measure where its device is, because no build for Android has it";
    private static final String[][] WAYS = {
        {"CoreMLExecutionProvider", NO_ANDROID},
        {"CUDAExecutionProvider", NO_ANDROID},
        {"OpenVINOExecutionProvider", NO_ANDROID},
        {"QNNExecutionProvider", "copy the runner's Gradle project, name com.microsoft.onnxruntime:onnxruntime-android-qnn in the "
                + "place of onnxruntime-android in it, build it, and give its file as `runner` in targets.toml"},
    };
    private static final String PUBLISHED = "build edgepack's runner with a published onnxruntime-android, which has it";

    private Providers() {}

    /** Refused: a provider that this build of onnxruntime lacks. */
    static void check(List<String> names) {
        List<String> available = new ArrayList<>();
        for (OrtProvider provider : OrtEnvironment.getAvailableProviders()) {
            available.add(provider.getName());
        }
        for (String name : names) {
            if (!available.contains(name)) {
                throw new Refused("this onnxruntime has no " + name + "; it has " + String.join(", ", available),
                        way(name) + ", or leave it out of --providers");
            }
        }
    }

    private static String way(String name) {
        for (String[] known : WAYS) {
            if (known[0].equals(name)) {
                return known[1];
            }
        }
        return PUBLISHED;
    }

    /** The session asks them in the order in which they come. */
    static void add(OrtSession.SessionOptions options, String name) throws OrtException {
        switch (name) {
            case "NnapiExecutionProvider":
                options.addNnapi();
                break;
            case "QNNExecutionProvider":
                options.addQnn(Collections.singletonMap("backend_path", QNN_LIBRARY));
                break;
            case "XnnpackExecutionProvider":
                options.addXnnpack(Collections.emptyMap());
                break;
            default:
                throw new Refused("edgepack's runner for phones cannot ask onnxruntime for " + name, "leave it out of --providers");
        }
    }
}
