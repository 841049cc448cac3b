internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// The output of a command as it came, if it is longer than what a message shows of it. It is in an unnamed file until it is sent.
final class OutputFile {
    /// The most bytes. Of a longer output there is no file.
    private static let mostBytes: UInt64 = 1 << 30

    private let directory: String
    private let leastBytes: Int
    private var beginning: [UInt8] = []
    private var file: UnnamedFile?
    private var size: UInt64 = 0
    private var isGivenUp = false

    /// - Parameters:
    ///   - leastBytes: an output that is not longer is no file.
    ///   - directory: on the disk that the file takes.
    init(beyond leastBytes: Int, in directory: String) { (self.leastBytes, self.directory) = (leastBytes, directory) }

    /// Takes the next bytes. On a full disk there is no file, and the command runs on.
    func take(_ bytes: ArraySlice<UInt8>) {
        guard !isGivenUp else { return }
        beginning += bytes
        guard file != nil || beginning.count > leastBytes else { return }
        do {
            guard size + UInt64(beginning.count) <= OutputFile.mostBytes else { throw OutputTooLong() }
            let made = try file ?? UnnamedFile(directory: directory)
            try made.write(beginning, at: size)
            size += UInt64(beginning.count)
            (file, beginning) = (made, [])
        } catch {
            (file, beginning, isGivenUp) = (nil, [], true)
        }
    }

    private struct OutputTooLong: Error {}

    /// - Parameter words: the command, which the file is called after.
    func file(of words: [String]) -> OutgoingFile? {
        let name = words.first.flatMap { FileName.last(of: $0 + ".log") } ?? "output.log"
        return file.flatMap { try? OutgoingFile($0.content, name: name, keepsMetadata: true) }
    }
}
