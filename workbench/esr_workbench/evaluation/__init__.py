"""How good a model is: PSNR, SSIM and VMAF over pictures and coded videos."""
