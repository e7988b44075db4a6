#!/usr/bin/env bash
# The first process of a simulated host, in namespaces of its own: gives it a disk (a layer over that of this machine),
# a network, the user `ubuntu` and sshd. hosts.py describes the variables.
set -euo pipefail
root=$FOLDER/root

mkdir -p "$FOLDER"/{upper,work,root,tmp}
chmod 1777 "$FOLDER/tmp"
mount -t overlay overlay -o "lowerdir=/,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$root"
mkdir -p "$root"/srv/{environment,checkout,efs} "$root/old"
mount --bind "$FOLDER/tmp" "$root/tmp"
mount --bind -o ro "$ENVIRONMENT" "$root/srv/environment"
mount --bind -o ro "$CHECKOUT" "$root/srv/checkout"
mount --bind "$SHARED" "$root/srv/efs"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=2g tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
cd "$root"
pivot_root . old
umount -l /old

hostname "$NAME"
printf '127.0.0.1 localhost\n%s %s\n' "$PRIVATE" "$NAME" > /etc/hosts
: > /etc/fstab
ip link set lo up
until ip link show eth0 > /dev/null 2>&1; do sleep 0.1; done
ip address add "$PRIVATE/16" dev eth0
[ -z "$PUBLIC" ] || ip address add "$PUBLIC/32" dev eth0
ip link set eth0 up
ip route add default dev eth0 src "$PRIVATE"

# The user that AWS's images have.
id ubuntu > /dev/null 2>&1 || useradd -m -s /bin/bash -p '*' ubuntu
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/ubuntu
install -d -m 700 -o ubuntu -g ubuntu /home/ubuntu/.ssh
[ -z "$KEY" ] || install -m 600 -o ubuntu -g ubuntu <(echo "$KEY") /home/ubuntu/.ssh/authorized_keys
# In place of the account at AWS. On EC2, a role gives the head its rights.
cat > /etc/profile.d/aws.sh << END
export AWS_ENDPOINT_URL=$EC2 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
END

# In place of what needs the internet: the file system is a folder that all hosts have, Debian's packages are installed,
# and a new environment begins with the packages of the one that the rehearsal runs in, where pip finds them.
printf '#!/bin/sh\nexec mount --bind /srv/efs "$2"\n' > /sbin/mount.nfs4
printf '#!/bin/sh\n' > /usr/local/bin/apt-get
cat > /usr/local/bin/python3 << END
#!/usr/bin/env bash
"$PYTHON" "\$@" || exit
[ "\$1 \$2" = "-m venv" ] || exit 0
cd "\$3"/lib/python3.*/site-packages
rm -rf setuptools* pkg_resources # Ubuntu's environments come without them
echo /srv/environment/lib/python3.*/site-packages > machine.pth
cd /srv/environment/bin
for script in *; do
    case \$script in python* | pip* | [Aa]ctivate* | vip5) continue ;; esac
    sed "1s|^#!.*|#!\$3/bin/python|" "\$script" > "\$3/bin/\$script" && chmod 755 "\$3/bin/\$script"
done
END
chmod 755 /sbin/mount.nfs4 /usr/local/bin/apt-get /usr/local/bin/python3
printf '[global]\nno-index = true\nno-build-isolation = false\n' > /etc/pip.conf # false: do not isolate
for folder in $(dirname "$PYTHON" | awk -F/ '{path = ""; for (i = 2; i <= NF; i++) print path = path "/" $i}'); do
    chmod o+x "$folder"
done

mkdir -p /run/sshd
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd -D -e -o UsePAM=no -o PasswordAuthentication=no &
# Bash reaps the processes that lose their parents.
wait $!
