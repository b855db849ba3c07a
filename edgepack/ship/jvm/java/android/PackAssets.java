package edgepack.module;

import android.content.Context;
import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.Buffer; // its methods under its own name: ByteBuffer's own came with later Androids
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;

/** The model in an app's assets. All that is Android's own stands here. */
public final class PackAssets {
    private static final String FOLDER = "pack";

    private PackAssets() {}

    /** Checks every file and opens the model; a second or less, not on the main thread. */
    public static PackModel open(Context context) {
        return PackModel.open(files(context), ModelOpener::open, cores());
    }

    /** Whether this device answers as the one that was measured: for a settings page, or the first start. */
    public static SelfTest selfTest(Context context) {
        return PackModel.selfTest(files(context), ModelOpener::open, cores());
    }

    private static int cores() {
        return Math.max(1, Math.min(4, Runtime.getRuntime().availableProcessors() / 2)); // the big ones of most phones
    }

    private static ModuleFiles files(Context context) {
        Context app = context.getApplicationContext();
        return new Assets(app.getAssets(), new File(app.getCacheDir(), "edgepack-" + PackAssets.class.getPackage().getName()));
    }

    private static final class Assets implements ModuleFiles {
        private final AssetManager assets;
        private final File cache;

        Assets(AssetManager assets, File cache) {
            this.assets = assets;
            this.cache = cache;
        }

        @Override
        public File cache() {
            return cache;
        }

        @Override
        public InputStream open(String name) throws IOException {
            return assets.open(FOLDER + "/" + name, AssetManager.ACCESS_STREAMING);
        }

        @Override
        public ByteBuffer map(String name) throws IOException {
            try (AssetFileDescriptor asset = assets.openFd(FOLDER + "/" + name);
                    FileInputStream in = asset.createInputStream();
                    FileChannel file = in.getChannel()) {
                return file.map(FileChannel.MapMode.READ_ONLY, asset.getStartOffset(), asset.getDeclaredLength()).order(ByteOrder.nativeOrder());
            } catch (FileNotFoundException compressed) {
                return unpacked(name); // the app's build leaves out noCompress: memory in place of a mapped file
            }
        }

        private ByteBuffer unpacked(String name) throws IOException {
            byte[] content = read(name);
            ByteBuffer buffer = ByteBuffer.allocateDirect(content.length).order(ByteOrder.nativeOrder());
            ((Buffer) buffer.put(content)).rewind();
            return buffer;
        }
    }
}
