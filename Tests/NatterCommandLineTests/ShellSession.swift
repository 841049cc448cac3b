import Foundation
@testable import NatterCommandLine
import Testing

/// Lines typed into a real shell on a terminal of its own, with a program `natter` that records its arguments and lets
/// this process answer `__complete`.
struct ShellSession {
    let shell: Shell
    /// The names of a kind, for a `--home`.
    let names: @Sendable (_ kind: String, _ home: String?) -> [String]

    /// - Parameters:
    ///   - lines: keys as they are pressed; a tab completes. Each line is then entered.
    ///   - files: an empty one is made for each; a directory if it ends with a slash.
    /// - Returns: the words of each call, joined by spaces, and what lies in the directory afterwards.
    func run(lines: [String], files: [String] = []) throws -> (calls: [String], files: [String]) {
        let directory = try temporaryDirectory()
        defer { _ = system("rm -r \(directory)") }
        try write(shell.completionScript(for: "natter"), to: directory + "/completion")
        try write(
            """
            #!/bin/sh
            if [ "$1" = __complete ]; then
                answer=\(directory)/answer.$$
                mkfifo "$answer"
                { printf '%s\\0' "$answer" "$@"; echo; } >\(directory)/request
                cat "$answer"
            else
                printf '%s\\n' "$*" >>\(directory)/calls
            fi

            """, to: directory + "/script")
        // A program that this process has open for writing while another test starts one could not be run.
        try #require(
            system("cd \(directory); install script natter; mkdir here; : >calls; mkfifo request") == 0)
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
        // Open for both, it never blocks and loses nothing, whatever process has inherited an end of it.
        let requests = open(directory + "/request", O_RDWR | O_CLOEXEC)
        try #require(requests >= 0)
        let server = Thread { [self] in answer(requests, in: directory) }
        server.start()
        let status = system(command)
        // An empty request ends the thread.
        try write("\n", to: directory + "/request")
        let screen = try text(of: directory + "/screen")
        #expect(status == 0, "the shell did not end by itself: \(screen)")
        let calls = try text(of: directory + "/calls").split(separator: "\n").map(String.init)
        try #require(system("ls \(directory)/here >\(directory)/left") == 0)
        return (calls, try text(of: directory + "/left").split(separator: "\n").map(String.init))
    }

    private func answer(_ requests: Int32, in directory: String) {
        defer { close(requests) }
        let environment = ["PATH": "\(directory):/usr/bin:/bin", "HOME": "\(directory)/here"]
        var program = Fixture.program
        program.names = { [names] kind, _, arguments, _ in names(kind.rawValue, arguments.value("home")) }
        while true {
            var words = request(from: requests).split(separator: "\0", omittingEmptySubsequences: false).map(
                String.init)
            if words.count < 2 { return }
            let answer = words.removeFirst()
            words.removeLast()
            let console = Fixture.console(environment: environment)
            _ = Program.run(program, words: words, console: console)
            try? write(console.output.text, to: answer)
        }
    }

    /// A request without its newline.
    private func request(from descriptor: Int32) -> String {
        var (bytes, chunk): ([UInt8], [UInt8]) = ([], Array(repeating: 0, count: 4_096))
        while bytes.last != UInt8(ascii: "\n") {
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 || errno == EINTR else { return "" }
            bytes += chunk.prefix(max(0, count))
        }
        return String(decoding: bytes.dropLast(), as: UTF8.self)
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
        let file = try #require(fopen(path, "we"))
        defer { fclose(file) }
        try #require(fputs(text, file) >= 0)
    }

    private func text(of path: String) throws -> String {
        let file = try #require(FileHandle(forReadingAtPath: path))
        return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
    }
}
