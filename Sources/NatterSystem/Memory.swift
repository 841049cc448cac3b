internal import CSystem

/// The memory of this process.
public enum Memory {
    /// Keeps freed memory for what comes next, up to 16 MiB for each thread. By default, the C library gives most of it
    /// back at once. A walk through blocks of a hundred kilobytes then gets each page anew from the kernel, filled with
    /// zeros.
    public static func keepFreed() { natter_keep_freed_memory() }
}
