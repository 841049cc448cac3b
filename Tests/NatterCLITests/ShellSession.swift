import Glibc
import NatterCLI
import NatterSystem
import Testing

/// Lines typed into a real shell on a terminal, with a program `natter` that records its arguments.
struct ShellSession {
    let shell: Shell
    /// What the program `natter` does when it is asked for names: lines of sh, with `$kind` and `$home`.
    let names: String

    static func isInstalled(_ shell: Shell) -> Bool { access("/usr/bin/\(shell.rawValue)", X_OK) == 0 }

    /// - Parameters:
    ///   - lines: keys as they are pressed; a tab completes. Each line is then entered.
    ///   - files: an empty one is made for each; a directory if it ends with a slash.
    /// - Returns: the words of each call, joined by spaces, and the files in the directory afterwards.
    func run(
        _ completion: Completion, lines: [String], files: [String] = []
    ) throws -> (calls: [String], files: [String]) {
        let directory = try temporaryDirectory()
        defer { _ = system("rm -r \(directory)") }
        try write(completion.script(for: shell), to: directory + "/completion")
        try write(
            """
            #!/bin/sh
            if [ "$1" != __names ]; then
                printf '%s\\n' "$*" >>\(directory)/calls
                exit
            fi
            home=none
            shift
            if [ "$1" = --home ]; then
                home=$2
                shift 2
            fi
            kind=$1
            \(names)

            """, to: directory + "/natter")
        try #require(system("chmod +x \(directory)/natter; mkdir \(directory)/here; : >\(directory)/calls") == 0)
        for file in files {
            try #require(system("cd \(directory)/here; \(file.hasSuffix("/") ? "mkdir" : "touch") '\(file)'") == 0)
        }
        let source = "\(start.source). \(directory)/completion"
        try write(([source] + lines + ["exit"]).map { $0 + "\r" }.joined(), to: directory + "/keys")
        // The shells inherit nothing of the test runner's environment.
        let command = """
            cd \(directory)/here && env -i PATH=\(directory):/usr/bin:/bin HOME=\(directory)/here TERM=dumb LC_ALL=C.UTF-8 \
            timeout 100 script -qec '\(start.command)' /dev/null <\(directory)/keys >\(directory)/screen 2>&1
            """
        let status = system(command)
        let screen = try text(of: directory + "/screen")
        #expect(status == 0, "the shell did not end by itself: \(screen)")
        let calls = try text(of: directory + "/calls").split(separator: "\n").map(String.init)
        try #require(system("ls \(directory)/here >\(directory)/left") == 0)
        return (calls, try text(of: directory + "/left").split(separator: "\n").map(String.init))
    }

    private var start: (command: String, source: String) {
        switch shell {
        case .bash: ("bash --norc --noprofile -i", "")
        case .zsh: ("zsh -f -i", "autoload -U compinit; compinit -D; ")
        case .fish: ("fish --no-config -i", "")
        }
    }

    private func temporaryDirectory() throws -> String {
        var template = Array("/tmp/natter-shell.XXXXXX".utf8CString)
        return String(cString: try #require(mkdtemp(&template)))
    }

    private func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        try #require(fputs(text, file) >= 0)
    }

    private func text(of path: String) throws -> String {
        String(decoding: try PosixDisk().contents(of: path, limit: 1 << 20), as: UTF8.self)
    }
}
