// SPDX-License-Identifier: GPL-2.0-or-later
/* Process 1 of a recording guest: runs each program of /programs on ext4 and on tmpfs, prints what they print, powers off. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void run(const char *program, const char *folder)
{
	char path[300];
	int status = -1;

	printf("@@BEGIN %s %s\n", program, folder);
	fflush(stdout);
	snprintf(path, sizeof(path), "/programs/%s", program);
	if (fork() == 0) {
		char *argv[] = { path, (char *)folder, 0 }, *envp[] = { 0 };

		close(0);
		open("/dev/null", O_RDONLY);
		execve(path, argv, envp);
		_exit(127);
	}
	wait(&status);
	printf("@@END %d\n", status);
	fflush(stdout);
}

int main(void)
{
	struct termios t;
	struct dirent *entry;
	DIR *programs;
	int module, disk, loop;

	mount("proc", "/proc", "proc", 0, 0);
	mount("dev", "/dev", "devtmpfs", 0, 0);
	mkdir("/ext4", 0755);
	mkdir("/tmpfs", 0755);
	mkdir("/sys", 0755);
	mount("sys", "/sys", "sysfs", 0, 0);
	mount("tmpfs", "/tmpfs", "tmpfs", 0, 0);
	if (!tcgetattr(1, &t)) {
		cfmakeraw(&t);
		tcsetattr(1, TCSANOW, &t);
	}
	module = open("/loop.ko", O_RDONLY);
	if (syscall(SYS_finit_module, module, "", 0))
		perror("loop.ko");
	close(module);
	disk = open("/disk", O_RDWR);
	loop = open("/dev/loop0", O_RDWR);
	if (ioctl(loop, LOOP_SET_FD, disk) || mount("/dev/loop0", "/ext4", "ext4", 0, ""))
		perror("/ext4");
	close(disk);
	close(loop);
	programs = opendir("/programs");
	while ((entry = readdir(programs)))
		if (entry->d_name[0] != '.') {
			run(entry->d_name, "/ext4");
			run(entry->d_name, "/tmpfs");
		}
	puts("@@DONE");
	fflush(stdout);
	reboot(RB_POWER_OFF);
}
