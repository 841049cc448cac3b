internal import Glibc
internal import NatterCommandLine
internal import NatterSystem

/// `serve …`: replaces this process with `natterd serve …`.
enum ServeCommand {
    static let spec = CommandSpec(
        "serve", "run a server", group: NatterProgram.Group.program, dashWords: .operands,
        operands: [.optional("ARGUMENT", isRepeating: true, "arguments of 'natterd serve'")],
        description: [
            "Run 'natterd serve' with these arguments, using the natterd next to this natter or else the one on PATH."
        ],
        examples: [Example("natter serve --listen 127.0.0.1:0", "run a server on a free port")],
        run: { arguments, console in
            let words = ["natterd", "serve"] + arguments.operands
            // natterd would inherit ignored signals, but it must decide that itself.
            for number in Signals.ignored { _ = signal(number, SIG_DFL) }
            for path in candidates(console.environment) where access(path, X_OK) == 0 {
                let code = execute(path, words)
                if code != ENOENT, code != EACCES {
                    throw DiskError(code: Errno(rawValue: code), operation: "run", path: path)
                }
            }
            throw CommandFailure(
                .unavailable, code: "not_installed",
                "cannot find 'natterd' next to natter or on PATH; install it or set PATH")
        })

    private static func candidates(_ environment: Environment) -> [String] {
        var directories: [String] = []
        if let own = ProcessArguments.programPath { directories.append(Path.directory(of: own)) }
        // An empty part of PATH means the current directory, which would be unsafe, so it is skipped.
        directories += (environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map(String.init)
        return directories.map { "\($0)/natterd" }
    }

    /// - Returns: the error number of the failed start.
    private static func execute(_ path: String, _ words: [String]) -> Int32 {
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        execv(path, pointers)
        let code = errno
        for pointer in pointers { free(pointer) }
        return code
    }
}
