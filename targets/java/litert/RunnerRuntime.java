package edgepack.module;

import java.io.File;
import java.util.List;
import java.util.function.Function;

/** LiteRT as an app has it: one text at a time, and no text is written. */
final class RunnerRuntime implements Jobs.Opener {
    static final String NAME = "litert";

    /** null: LiteRT's Java tells no version. */
    static String version() {
        return null;
    }

    @Override
    public ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return LiteRt.open(files, manifest, threads);
    }

    @Override
    public List<Object> ops(ModuleFiles files, Manifest manifest, Fields job, File place, Function<ModelRuntime, Runnable> act) {
        throw new Refused("LiteRT's Java times a whole inference and no single op", "leave out --ops, or measure on this machine: --on local");
    }

    @Override
    public float[] scores(ModelRuntime runtime, Manifest manifest, int[] ids) {
        throw new Refused("LiteRT's Java writes no text", "measure on this machine: --on local");
    }

    @Override
    public void forget(ModelDecoder decoder, int length) {
        throw new Refused("LiteRT's Java writes no text", "measure on this machine: --on local");
    }
}
