package edgepack.module;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import org.jspecify.annotations.NonNull;
import org.jspecify.annotations.Nullable;

/** A module's files in a folder: on a JVM, or where an app has downloaded them. */
public final class FolderFiles implements ModuleFiles {
    private final File folder;
    private final File cache;

    public FolderFiles(@NonNull File folder) {
        this(folder, new File(folder, ".weight-cache/expanded"));
    }

    /** cache: where coded weights are kept decoded, if the pack is to be expanded; null: nowhere, they are decoded at each start. */
    public FolderFiles(@NonNull File folder, @Nullable File cache) {
        this.folder = folder;
        this.cache = cache;
    }

    @Override
    public @Nullable File cache() {
        return cache;
    }

    @Override
    public @NonNull InputStream open(@NonNull String name) throws IOException {
        return new FileInputStream(new File(folder, name));
    }

    @Override
    public @NonNull ByteBuffer map(@NonNull String name) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(new File(folder, name), "r")) {
            return file.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length()).order(ByteOrder.nativeOrder());
        }
    }
}
