package edgepack.module;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;

/** Facts of the machine that a target runs on, and its memory counters: what targets/machine.py reads. What cannot be read is null. */
final class Device {
    private static final List<String> ISA = Arrays.asList("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni",
            "asimd", "neon", "crc32", "aes", "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2");
    private static final String[][] ARM_PARTS = {{"0xd03", "cortex-a53"}, {"0xd04", "cortex-a35"}, {"0xd05", "cortex-a55"},
        {"0xd07", "cortex-a57"}, {"0xd08", "cortex-a72"}, {"0xd09", "cortex-a73"}, {"0xd0a", "cortex-a75"}, {"0xd0b", "cortex-a76"},
        {"0xd0c", "neoverse-n1"}, {"0xd41", "cortex-a78"}, {"0xd42", "cortex-a78ae"}, {"0xd47", "cortex-a710"}, {"0xd81", "cortex-a720"}};
    private static final String[][] ARCHS = {{"amd64", "x86_64"}, {"arm64", "aarch64"}, {"i386", "i686"}}; // Java's word, the system's word
    private static final double TICKS_A_SECOND = 100; // of /proc/stat, on every Linux that runs Java

    private Device() {}

    /** CPU, memory, clock, temperature and load as they are now. */
    static Map<String, Object> facts() {
        Map<String, String> cpuinfo = pairs("/proc/cpuinfo");
        String flags = cpuinfo.containsKey("flags") ? cpuinfo.get("flags") : cpuinfo.containsKey("Features") ? cpuinfo.get("Features") : "";
        TreeSet<String> isa = new TreeSet<>(Arrays.asList(flags.split("\\s+")));
        isa.retainAll(ISA);
        String part = armPart(cpuinfo);
        String model = cpuinfo.containsKey("model name") ? cpuinfo.get("model name") : cpuinfo.get("Model");
        String load = read("/proc/loadavg");
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("arch", arch());
        facts.put("emulated_by", emulatedBy());
        facts.put("cpu", model != null ? model : part);
        facts.put("cpu_part", part);
        facts.put("cores", (long) Runtime.getRuntime().availableProcessors());
        facts.put("isa", new ArrayList<Object>(isa));
        facts.put("governor", read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
        facts.put("clock_mhz", scaled("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1000));
        facts.put("temperature_c", scaled("/sys/class/thermal/thermal_zone0/temp", 1000));
        facts.put("load_average", load == null ? null : Double.valueOf(load.split(" ")[0]));
        facts.put("memory_mb", memory("MemTotal"));
        facts.put("memory_free_mb", memory("MemAvailable"));
        facts.put("os", System.getProperty("os.name") + " " + System.getProperty("os.version"));
        facts.put("python", null);
        facts.put("java", System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"));
        return facts;
    }

    static String arch() {
        String name = System.getProperty("os.arch", "");
        for (String[] known : ARCHS) {
            name = name.equals(known[0]) ? known[1] : name;
        }
        return name;
    }

    /** What emulates this CPU, in words; null where nothing is noticed. */
    static String emulatedBy() {
        if (new File("/dev/goldfish_pipe").exists() || new File("/dev/qemu_pipe").exists()) {
            return "Android's emulator";
        }
        String program;
        try {
            program = new File("/proc/self/exe").getCanonicalFile().getName();
        } catch (IOException error) {
            program = "";
        }
        if (program.startsWith("qemu-")) {
            return program;
        }
        Map<String, String> cpuinfo = pairs("/proc/cpuinfo");
        String model = cpuinfo.containsKey("model name") ? cpuinfo.get("model name") : "";
        if (model.contains("VirtualApple")) {
            return "Rosetta, on an Apple CPU";
        }
        boolean arm = cpuinfo.containsKey("CPU implementer");
        boolean x86 = cpuinfo.containsKey("flags");
        if (model.contains("TCG")) {
            return "QEMU's TCG";
        }
        if (arm && arch().contains("86") || x86 && !arch().contains("86")) {
            return "something on " + (arm ? "an ARM" : "an x86") + " CPU: /proc/cpuinfo is of one";
        }
        return null;
    }

    /** Whether this CPU adds pairs of u8 x s8 products in 16 bits, which can saturate: x86 with AVX2, without VNNI; null where unknown. */
    static Boolean saturates() {
        if (!arch().equals("x86_64")) {
            return false;
        }
        String stated = pairs("/proc/cpuinfo").get("flags");
        List<String> flags = stated == null ? new ArrayList<>() : Arrays.asList(stated.split("\\s+"));
        return stated == null ? null : flags.contains("avx2") && !flags.contains("avx_vnni") && !flags.contains("avx512_vnni");
    }

    /** Seconds that the cores were busy, that a hypervisor gave to others, that this process took; null where the system does not tell. */
    static double[] cpuSeconds() {
        String stat = read("/proc/stat");
        String ours = read("/proc/self/stat");
        if (stat == null || ours == null || !stat.startsWith("cpu ")) {
            return null;
        }
        String[] all = stat.split("\n")[0].trim().split("\\s+");
        String[] process = ours.substring(ours.lastIndexOf(')') + 2).split(" ");
        if (all.length < 9) {
            return null;
        }
        double busy = 0;
        for (int column : new int[] {1, 2, 3, 6, 7}) {
            busy += Double.parseDouble(all[column]);
        }
        double own = Double.parseDouble(process[11]) + Double.parseDouble(process[12]);
        return new double[] {busy / TICKS_A_SECOND, Double.parseDouble(all[8]) / TICKS_A_SECOND, own / TICKS_A_SECOND};
    }

    /** Resident memory now and its peak since {@link #resetPeak}, in 10^6 bytes. */
    static Map<String, Object> residentMb() {
        Map<String, String> status = pairs("/proc/self/status");
        Map<String, Object> result = new LinkedHashMap<>();
        String[][] names = {{"peak", "VmHWM"}, {"resident", "VmRSS"}, {"anonymous", "RssAnon"}, {"file", "RssFile"}};
        for (String[] name : names) {
            String value = status.get(name[1]);
            result.put(name[0], value == null ? null : Long.parseLong(value.split("\\s+")[0]) * 1024 / 1e6);
        }
        return result;
    }

    /** Sets VmHWM to what is resident now; false where the kernel does not let us. */
    static boolean resetPeak() {
        try (FileOutputStream file = new FileOutputStream("/proc/self/clear_refs")) {
            file.write('5');
            return true;
        } catch (IOException error) {
            return false;
        }
    }

    /** Bytes that this process made the storage deliver: 0 where the page cache had them all. */
    static Long bytesRead() {
        String value = pairs("/proc/self/io").get("read_bytes");
        return value == null ? null : Long.valueOf(value);
    }

    private static String armPart(Map<String, String> cpuinfo) {
        String part = cpuinfo.get("CPU part");
        for (String[] known : ARM_PARTS) {
            part = known[0].equals(part == null ? null : part.toLowerCase(Locale.ROOT)) ? known[1] : part;
        }
        return part;
    }

    private static Map<String, String> pairs(String path) {
        Map<String, String> pairs = new HashMap<>();
        String text = read(path);
        for (String line : text == null ? new String[0] : text.split("\n")) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                pairs.putIfAbsent(line.substring(0, colon).trim(), line.substring(colon + 1).trim());
            }
        }
        return pairs;
    }

    private static Double memory(String key) {
        String value = pairs("/proc/meminfo").get(key);
        return value == null ? null : Timing.rounded(Long.parseLong(value.split("\\s+")[0]) * 1024 / 1e6, 1);
    }

    private static Double scaled(String path, double divisor) {
        String value = read(path);
        return value != null && value.matches("-?[0-9]+") ? Long.parseLong(value) / divisor : null;
    }

    private static String read(String path) {
        try {
            return new String(Files.readAllBytes(Paths.get(path)), StandardCharsets.UTF_8).trim();
        } catch (IOException | SecurityException error) {
            return null;
        }
    }
}
