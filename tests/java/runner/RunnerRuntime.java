package edgepack.module;

import java.io.File;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/** For tests: the runtime that runs here, in a Python process beside the JVM. The property `runtime` is its command, a word a line. */
final class RunnerRuntime implements Jobs.Opener {
    static final String NAME = "onnxruntime";

    static String version() {
        return "of Python";
    }

    @Override
    public ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return new PythonRuntime(Arrays.asList(System.getProperty("runtime").split("\n")));
    }

    @Override
    public List<Object> ops(ModuleFiles files, Manifest manifest, Fields job, File place, Function<ModelRuntime, Runnable> act) {
        throw new Refused("a runtime in Python times no single op for Java", "leave out --ops");
    }

    @Override
    public float[] scores(ModelRuntime runtime, Manifest manifest, int[] ids) {
        return ((PythonRuntime) runtime).scores(ids);
    }

    @Override
    public void forget(ModelDecoder decoder, int length) {
        ((PythonRuntime.Decoder) decoder).forget(length);
    }
}
