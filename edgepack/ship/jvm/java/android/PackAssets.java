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
import org.jspecify.annotations.NonNull;

/** The model in an app's assets. All that is Android's own stands here. */
public final class PackAssets {
    private static final String FOLDER = "pack";

    private PackAssets() {}

    /** Checks every file and opens the model, with {@link PackFolder#cores} threads; a second or less, not on the main thread. */
    public static @NonNull PackModel open(@NonNull Context context) {
        return open(context, PackFolder.cores());
    }

    /** threads: that compute an answer; 1 or more. */
    public static @NonNull PackModel open(@NonNull Context context, int threads) {
        return PackModel.open(files(context), ModelOpener::open, PackFolder.checked(threads));
    }

    /** Whether this device answers as the one that was measured: for a settings page, or the first start. */
    public static @NonNull SelfTest selfTest(@NonNull Context context) {
        return PackModel.selfTest(files(context), ModelOpener::open, PackFolder.cores());
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
        public @NonNull InputStream open(@NonNull String name) throws IOException {
            return assets.open(FOLDER + "/" + name, AssetManager.ACCESS_STREAMING);
        }

        @Override
        public @NonNull ByteBuffer map(@NonNull String name) throws IOException {
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
