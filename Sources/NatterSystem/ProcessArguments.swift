internal import CSystem
internal import Glibc

/// The command line of this process, as the C library hands it to `main`.
///
/// Swift's `CommandLine` reads it from /proc instead. Without a free descriptor it is empty there, and a command would be
/// taken for one without words.
public enum ProcessArguments {
    /// The number of words, the program's name included.
    public static var count: Int { Int(natter_argument_count()) }

    /// A word, or nil behind the last one. Word 0 is the program's name.
    public static func word(_ index: Int) -> UnsafePointer<CChar>? { natter_argument(Int32(index)) }

    /// The file of the program that runs; nil if its path is unknown or not UTF-8.
    public static var programPath: String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        return 1..<buffer.count ~= count ? String(validating: buffer.prefix(count), as: UTF8.self) : nil
    }
}
