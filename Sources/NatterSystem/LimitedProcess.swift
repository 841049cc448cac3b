internal import CSystem
internal import Glibc

/// A program that works for this process on something from outside: with an environment of its own, no descriptors but the
/// standard ones, and a limit on its memory. It ends with this process.
public enum LimitedProcess {
    /// - Parameters:
    ///   - path: of the program, which is also its first word.
    ///   - words: its arguments.
    ///   - standard: the descriptors that it gets as its standard input, output and error.
    ///   - memory: its limit of address space, in bytes.
    /// - Returns: its number, for waitpid(2).
    /// - Throws: `DiskError` if it can't be started, such as `ENOENT` if it or its interpreter is missing.
    public static func start(
        _ path: String, _ words: [String], environment: [String: String], standard: (Int32, Int32, Int32), memory: Int
    ) throws(DiskError) -> Int32 {
        var arguments = ([path] + words).map { strdup($0) }
        var variables = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { for copy in arguments + variables { free(copy) } }
        arguments.append(nil)
        variables.append(nil)
        let process = natter_start_limited(
            path, arguments, variables, [standard.0, standard.1, standard.2], memory)
        guard process > 0 else { throw DiskError(operation: "run", path: path) }
        return process
    }
}
