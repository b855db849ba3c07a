package edgepack.module;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.NonNull;

/** A module's files, of which only those are opened that module.json lists: their hashes were compared. */
final class ListedFiles implements ModuleFiles {
    private final ModuleFiles files;
    private final Set<String> names = new HashSet<>();

    ListedFiles(ModuleFiles files, Manifest manifest) {
        this.files = files;
        for (Fields entry : manifest.files) {
            names.add(entry.text("name"));
        }
    }

    @Override
    public @NonNull InputStream open(@NonNull String name) throws IOException {
        return files.open(listed(name));
    }

    @Override
    public @NonNull ByteBuffer map(@NonNull String name) throws IOException {
        return files.map(listed(name));
    }

    @Override
    public File cache() {
        return files.cache();
    }

    private String listed(String name) {
        if (!names.contains(name)) {
            throw new PackException("module.json lists no " + name + ": install the app again");
        }
        return name;
    }
}
