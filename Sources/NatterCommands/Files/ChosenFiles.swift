internal import NatterClient
internal import NatterCommandLine
internal import NatterModel
internal import NatterSystem

/// The options of `send` and `pm` for files.
enum ChosenFiles {
    static var options: [OptionSpec] {
        [
            .option(
                "file", value: "F", isRepeatable: true, "send this file with the message; '-' is standard input",
                long:
                    "TEXT may be missing then. A message has up to \(Limits.filesPerMessage) files; the server limits their "
                    + "size. Photographs are sent without their place, camera and comments."),
            .option(
                "name", value: "N", "the name of the file", long: "'--file -' needs it. It is for one file only."),
            .flag("keep-metadata", "leave in photographs what tells of place and camera"),
        ]
    }

    /// The files that a command was given. Standard input, and any other pipe, is read to its end.
    ///
    /// - Throws: 64 if the options can't be combined, 65 for a name that no file can have, 66 for a file that can't be read.
    static func open(_ context: Context, reading input: Int32) throws -> [OutgoingFile] {
        let arguments = context.arguments
        let paths = arguments.values("file")
        let name = arguments.value("name")
        guard !paths.isEmpty else {
            if name != nil || arguments.flag("keep-metadata") {
                throw arguments.error("--name and --keep-metadata are for --file")
            }
            return []
        }
        guard paths.count <= Limits.filesPerMessage else {
            throw arguments.error("a message has at most \(Limits.filesPerMessage) files")
        }
        if name != nil, paths.count > 1 { throw arguments.error("--name is for one file") }
        if paths.contains("-"), name == nil { throw arguments.error("'--file -' needs a name: give --name") }
        return try paths.map { path in
            guard let name = FileName.last(of: name ?? path) else {
                throw CommandFailure(
                    .invalidData, code: "bad_name",
                    "'\(name ?? path)' is no name for a file: it has 1 to 255 bytes and no control characters")
            }
            do throws(DiskError) {
                let file =
                    path == "-"
                    ? try ChosenFile.spool(input, in: context.temporaryDirectory)
                    : try ChosenFile.open(path, spoolingIn: context.temporaryDirectory)
                return try OutgoingFile(file, name: name, keepsMetadata: arguments.flag("keep-metadata"))
            } catch { throw CommandFailure(unreadable: error) }
        }
    }
}

extension Context {
    /// Where bytes lie that are needed as long as this command runs. They may be more than what `/tmp` has room for.
    var temporaryDirectory: String { console.environment["TMPDIR"] ?? "/var/tmp" }

    /// Shows how far files are sent, on a terminal.
    func showUploads() -> (OutgoingFile, UInt64) -> Void {
        let meter = ProgressLine(self)
        return { file, sent in
            if sent == file.count { meter.clear() } else { meter.show(sent, of: file.count) }
        }
    }
}
