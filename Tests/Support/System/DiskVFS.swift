internal import CSQLite
internal import Glibc
internal import NatterSystem

/// A VFS through which SQLite accesses files on a `Disk`. So a simulated disk contains the databases and the log files,
/// and records all operations in one order. It serves one process, in which the connections to a database share the
/// index of its WAL in memory.
///
/// It does the same as SQLite's own VFS ("unix"), including the syncs of directories, so that test results hold for
/// both. There is one difference: a failed sync of a directory is an error here, but "unix" ignores it.
///
/// Sendable is unchecked because SQLite's structure is a pointer. Only SQLite changes it, under its own lock.
final class DiskVFS: @unchecked Sendable {
    /// The name with which to open a database.
    let name: String
    /// The disk owns this VFS.
    private unowned let disk: any Disk & AnyObject
    private let vfs: UnsafeMutablePointer<sqlite3_vfs>
    private let nameBytes: UnsafeMutablePointer<CChar>
    private let databases = Monitor<[String: Weak<SharedDatabase>]>([:])

    private struct Weak<Object: AnyObject & Sendable>: Sendable {
        weak let object: Object?
    }

    private static let count = Monitor(0)

    /// - Returns: nil if SQLite has no VFS.
    init?(_ disk: any Disk & AnyObject) {
        let name = DiskVFS.count.withLock { count in
            count += 1
            return "natter-disk-\(count)"
        }
        guard let system = sqlite3_vfs_find(nil), let nameBytes = strdup(name) else { return nil }
        (self.name, self.disk, self.nameBytes) = (name, disk, nameBytes)
        vfs = .allocate(capacity: 1)
        // Random bytes, sleep and the time of day come from the operating system.
        vfs.initialize(to: system.pointee)
        vfs.pointee.iVersion = 2
        vfs.pointee.pNext = nil
        vfs.pointee.zName = UnsafePointer(nameBytes)
        vfs.pointee.szOsFile = max(system.pointee.szOsFile, DiskVFSFile.recordBytes)
        vfs.pointee.xOpen = DiskVFS.open
        vfs.pointee.xDelete = DiskVFS.delete
        vfs.pointee.xAccess = DiskVFS.access
        vfs.pointee.xFullPathname = DiskVFS.fullPath
        vfs.pointee.pAppData = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_vfs_register(vfs, 0)
    }

    deinit {
        sqlite3_vfs_unregister(vfs)
        vfs.deallocate()
        free(nameBytes)
    }

    /// The state that all connections to a database share.
    ///
    /// - Parameter isNew: whether the file was just created. Then it is not the same database as a former one of that
    ///   name.
    private func database(_ path: String, isNew: Bool) -> SharedDatabase {
        databases.withLock { databases in
            if let shared = databases[path]?.object {
                if !isNew { return shared }
                shared.isReplaced = true
            }
            let shared = SharedDatabase()
            databases[path] = Weak(object: shared)
            return shared
        }
    }

    private func open(_ path: String, flags: Int32) throws(DiskError) -> DiskVFSFile {
        let isNew = try disk.information(path) == nil
        guard !isNew || flags & SQLITE_OPEN_CREATE != 0 else {
            throw DiskError(code: .noSuchFileOrDirectory, operation: "open", path: path)
        }
        let mode: OpenMode = isNew ? .create : flags & SQLITE_OPEN_READWRITE != 0 ? .readWrite : .read
        let journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL
        let file = try disk.open(path, mode)
        return DiskVFSFile(
            file: file, disk: disk,
            database: flags & SQLITE_OPEN_MAIN_DB != 0 ? database(path, isNew: isNew) : nil,
            // As in "unix", this also holds for an existing file, because its name may not be synced yet.
            syncsDirectory: flags & SQLITE_OPEN_CREATE != 0 && flags & journals != 0,
            goesWithClose: flags & SQLITE_OPEN_DELETEONCLOSE != 0)
    }

    // MARK: Called by SQLite

    private static func own(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> DiskVFS? {
        vfs?.pointee.pAppData.map { Unmanaged<DiskVFS>.fromOpaque($0).takeUnretainedValue() }
    }

    private static let open:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, UnsafeMutablePointer<sqlite3_file>?, Int32,
            UnsafeMutablePointer<Int32>?
        ) -> Int32 = { vfs, path, file, flags, grantedFlags in
            file?.pointee.pMethods = nil
            guard let own = own(vfs), let file else { return SQLITE_CANTOPEN }
            // An unnamed file is SQLite's scratch space, which need not be durable.
            guard let path else {
                guard let system = sqlite3_vfs_find(nil), let open = system.pointee.xOpen else {
                    return SQLITE_CANTOPEN
                }
                return open(system, nil, file, flags, grantedFlags)
            }
            do throws(DiskError) {
                DiskVFSFile.place(try own.open(String(cString: path), flags: flags), in: file)
                grantedFlags?.pointee = flags
                return SQLITE_OK
            } catch {
                return error.isFull ? SQLITE_FULL : SQLITE_CANTOPEN
            }
        }

    private static let delete:
        @convention(c) (UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, Int32) -> Int32 = {
            vfs, path, syncsDirectory in
            guard let own = own(vfs), let path else { return IOErrorCode.delete }
            let name = String(cString: path)
            do throws(DiskError) {
                try own.disk.remove(name)
            } catch {
                return error.isMissing ? IOErrorCode.deleteMissing : IOErrorCode.delete
            }
            guard syncsDirectory != 0 else { return SQLITE_OK }
            do throws(DiskError) {
                try own.disk.syncDirectory(Path.directory(of: name))
                return SQLITE_OK
            } catch {
                return IOErrorCode.directorySync
            }
        }

    private static let access:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, Int32, UnsafeMutablePointer<Int32>?
        ) -> Int32 = { vfs, path, _, result in
            guard let own = own(vfs), let path else { return IOErrorCode.access }
            do throws(DiskError) {
                let found = try own.disk.information(String(cString: path))
                result?.pointee = found.map { !$0.isRegular || $0.size > 0 } == true ? 1 : 0
                return SQLITE_OK
            } catch {
                return IOErrorCode.access
            }
        }

    private static let fullPath:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, Int32, UnsafeMutablePointer<CChar>?
        ) -> Int32 = { _, path, room, result in
            guard let path, let result, strlen(path) < Int(room) else { return SQLITE_CANTOPEN }
            strcpy(result, path)
            return SQLITE_OK
        }
}

/// SQLite's codes for failed calls of a disk. They are macros that Swift can't import.
enum IOErrorCode {
    static let read = SQLITE_IOERR | 1 << 8
    static let shortRead = SQLITE_IOERR | 2 << 8
    static let write = SQLITE_IOERR | 3 << 8
    static let sync = SQLITE_IOERR | 4 << 8
    static let directorySync = SQLITE_IOERR | 5 << 8
    static let truncate = SQLITE_IOERR | 6 << 8
    static let size = SQLITE_IOERR | 7 << 8
    static let delete = SQLITE_IOERR | 10 << 8
    static let access = SQLITE_IOERR | 13 << 8
    static let deleteMissing = SQLITE_IOERR | 23 << 8
}
